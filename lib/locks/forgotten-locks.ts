import { Alarm } from '../core/alarm.js';
import type { Clock } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { subjectOf } from '../core/store-key.js';
import type { CallSites } from './call-site.js';
import type { HeldLeases } from './held-leases.js';
import type { Hold } from './lease.js';
import type { HoldOwner, LockHandle } from './lock.js';

/** A lock that its caller has to release is reported once it was held for this number of TTLs. */
const TTLS = 10;
/** The shortest time between two looks. */
const LOOK_EVERY: Milliseconds = 1000;
const REPAIR = 'release it in a finally block or by "await using", or use withLock()';

/**
 * Reports locks that somebody may have forgotten to release: they are renewed as long as the process lives, and nobody
 * else gets them. They are never taken away: the code that they protect may still run.
 */
export class ForgottenLocks {
  readonly #clock: Clock;
  readonly #callSites: CallSites;
  readonly #warn: (message: string) => void;
  readonly #warnAfter: Milliseconds | undefined;
  readonly #held: () => Hold[];
  readonly #reported = new WeakSet<Hold>();
  readonly #dropped = new FinalizationRegistry<Hold>((hold) => this.#wasDropped(hold));
  readonly #alarm: Alarm;

  /** @param warnAfter for all locks; default: 10 TTLs, for those that their callers have to release */
  constructor(
    clock: Clock,
    callSites: CallSites,
    warnAfter: Milliseconds | undefined,
    held: () => Hold[],
    warn: (message: string) => void,
  ) {
    this.#clock = clock;
    this.#callSites = callSites;
    this.#warnAfter = warnAfter;
    this.#held = held;
    this.#warn = warn;
    this.#alarm = new Alarm(clock, () => this.#look());
  }

  /** The lease is in use from now on. */
  watch(hold: Hold): void {
    this.#alarm.setFor(this.#dueAt(hold));
  }

  /**
   * A handle that its caller has to release. One that is collected instead is reported, where its call site was noted:
   * to watch all handles would cost more than the rest of a lock.
   */
  handOut(hold: Hold, heldLeases: HeldLeases): LockHandle {
    if (!hold.callSite) return heldLeases.share(hold);
    const watched: HoldOwner = {
      letGo: (released) => {
        this.#dropped.unregister(watched);
        return heldLeases.letGo(released);
      },
    };
    const handle = heldLeases.share(hold, watched);
    this.#dropped.register(handle, hold, watched);
    return handle;
  }

  #dueAt(hold: Hold): number {
    if (this.#reported.has(hold)) return Infinity;
    const { isGuarded, acquiredAt, lease } = hold;
    return acquiredAt + (this.#warnAfter ?? (isGuarded ? Infinity : TTLS * lease.claim.ttl));
  }

  #look(): void {
    const now = this.#clock.now();
    let next = Infinity;
    for (const hold of this.#held()) {
      if (hold.isBackground) continue;
      if (this.#dueAt(hold) <= now) this.#isHeldLong(hold, now);
      next = Math.min(next, this.#dueAt(hold));
    }
    this.#alarm.setFor(Math.max(next, now + LOOK_EVERY));
  }

  #isHeldLong(hold: Hold, now: number): void {
    const held = Math.round((now - hold.acquiredAt) / 1000);
    const { text, callSite } = this.#describe(hold);
    const forgotten = hold.isGuarded ? '' : ` If it was forgotten, ${REPAIR}.`;
    this.#warn(
      `${text} has been held for ${held} s by this instance${callSite}.${forgotten} ` +
        'If it is meant to be held for so long, raise lock.warnAfter.',
    );
  }

  #wasDropped(hold: Hold): void {
    if (hold.remaining === 0) return;
    const { text, callSite } = this.#describe(hold);
    this.#warn(
      `${text} was dropped without a release${callSite}: nobody can release it any more, and it stays locked as long as ` +
        `this process lives. Keep what acquire() returns: ${REPAIR}.`,
    );
  }

  #describe(hold: Hold): { readonly text: string; readonly callSite: string } {
    this.#reported.add(hold);
    this.#callSites.noteAll();
    const acquired = hold.callSite?.text;
    const unknown = hold.isGuarded ? '' : ' (the next time this says where it was acquired)';
    const callSite = acquired === undefined ? unknown : `, acquired ${acquired}`;
    return { text: subjectOf(hold.lease.claim.key, hold.key), callSite };
  }
}
