import type { Clock, Timer } from '../core/clock.js';
import { subjectOf } from '../core/store-key.js';
import type { CallSites } from './call-site.js';
import type { Hold } from './lease.js';
import type { HoldOwner, LockHandle } from './lock-handle.js';

/** A lock that its caller has to release is reported once it was held for so many TTLs. */
const TTLS = 10;
/** The shortest time between two looks, in milliseconds. */
const LOOK_EVERY = 1000;
const REPAIR = 'release it in a finally block or by "await using", or use withLock()';

/**
 * Reports locks that somebody may have forgotten to release: they are renewed as long as the process lives, and nobody
 * else gets them. They are never taken away: the code that they protect may still run.
 */
export class ForgottenLocks {
  readonly #clock: Clock;
  readonly #callSites: CallSites;
  readonly #warn: (message: string) => void;
  readonly #warnAfter: number | undefined;
  readonly #held: () => Hold[];
  readonly #reported = new WeakSet<Hold>();
  readonly #dropped = new FinalizationRegistry<Hold>((hold) => this.#wasDropped(hold));
  #timer: Timer | undefined;
  #timerAt = Infinity;

  /** @param warnAfter milliseconds, for all locks; default: 10 TTLs, for those that their callers have to release */
  constructor(
    clock: Clock,
    callSites: CallSites,
    warnAfter: number | undefined,
    held: () => Hold[],
    warn: (message: string) => void,
  ) {
    this.#clock = clock;
    this.#callSites = callSites;
    this.#warnAfter = warnAfter;
    this.#held = held;
    this.#warn = warn;
  }

  /** The lease is in use from now on. */
  watch(hold: Hold): void {
    this.#arm(this.#dueAt(hold));
  }

  /**
   * A handle that its caller has to release: reported when it is collected instead, where its call site was noted. To
   * watch all handles would cost more than the rest of a lock.
   */
  handOut(hold: Hold, owner: HoldOwner, share: (hold: Hold, owner: HoldOwner) => LockHandle): LockHandle {
    if (!hold.callSite) return share(hold, owner);
    const watched: HoldOwner = {
      letGo: (released) => {
        this.#dropped.unregister(watched);
        return owner.letGo(released);
      },
    };
    const handle = share(hold, watched);
    this.#dropped.register(handle, hold, watched);
    return handle;
  }

  #dueAt(hold: Hold): number {
    if (this.#reported.has(hold)) return Infinity;
    const { isGuarded, acquiredAt, lease } = hold;
    return acquiredAt + (this.#warnAfter ?? (isGuarded ? Infinity : TTLS * lease.claim.ttl));
  }

  #arm(at: number): void {
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.after(at - this.#clock.now(), () => this.#look());
  }

  #look(): void {
    this.#timerAt = Infinity;
    const now = this.#clock.now();
    let next = Infinity;
    for (const hold of this.#held()) {
      if (hold.isBackground) continue;
      if (this.#dueAt(hold) <= now) this.#isHeldLong(hold, now);
      next = Math.min(next, this.#dueAt(hold));
    }
    this.#arm(Math.max(next, now + LOOK_EVERY));
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
