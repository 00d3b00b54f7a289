import type { Clock, Timer } from './clock.js';
import type { Lease } from './lease.js';
import type { LeaseHandle } from './lock-handle.js';
import type { LeaseOwner } from './lock-handle.js';
import type { CallSites } from './call-site.js';
import { subjectOf } from './store-key.js';

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
  readonly #held: () => Lease[];
  readonly #reported = new WeakSet<Lease>();
  readonly #dropped = new FinalizationRegistry<Lease>((lease) => this.#wasDropped(lease));
  #timer: Timer | undefined;
  #timerAt = Infinity;

  /** @param warnAfter milliseconds, for all locks; default: 10 TTLs, for those that their callers have to release */
  constructor(
    clock: Clock,
    callSites: CallSites,
    warnAfter: number | undefined,
    held: () => Lease[],
    warn: (message: string) => void,
  ) {
    this.#clock = clock;
    this.#callSites = callSites;
    this.#warnAfter = warnAfter;
    this.#held = held;
    this.#warn = warn;
  }

  /** The lease is in use from now on. */
  watch(lease: Lease): void {
    this.#arm(this.#dueAt(lease));
  }

  /**
   * A handle that its caller has to release: reported when it is collected instead, where its call site was noted. To
   * watch all handles would cost more than the rest of a lock.
   */
  handOut(lease: Lease, owner: LeaseOwner, share: (lease: Lease, owner: LeaseOwner) => LeaseHandle): LeaseHandle {
    if (!lease.callSite) return share(lease, owner);
    const watched: LeaseOwner = {
      letGo: (released) => {
        this.#dropped.unregister(watched);
        return owner.letGo(released);
      },
    };
    const handle = share(lease, watched);
    this.#dropped.register(handle, lease, watched);
    return handle;
  }

  #dueAt(lease: Lease): number {
    if (this.#reported.has(lease)) return Infinity;
    const { isGuarded, acquiredAt, tenure } = lease;
    return acquiredAt + (this.#warnAfter ?? (isGuarded ? Infinity : TTLS * tenure.claim.ttl));
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
    for (const lease of this.#held()) {
      if (lease.isBackground) continue;
      if (this.#dueAt(lease) <= now) this.#isHeldLong(lease, now);
      next = Math.min(next, this.#dueAt(lease));
    }
    this.#arm(Math.max(next, now + LOOK_EVERY));
  }

  #isHeldLong(lease: Lease, now: number): void {
    const held = Math.round((now - lease.acquiredAt) / 1000);
    const { text, callSite } = this.#describe(lease);
    const forgotten = lease.isGuarded ? '' : ` If it was forgotten, ${REPAIR}.`;
    this.#warn(
      `${text} has been held for ${held} s by this instance${callSite}.${forgotten} ` +
        'If it is meant to be held for so long, raise lock.warnAfter.',
    );
  }

  #wasDropped(lease: Lease): void {
    if (lease.remaining === 0) return;
    const { text, callSite } = this.#describe(lease);
    this.#warn(
      `${text} was dropped without a release${callSite}: nobody can release it any more, and it stays locked as long as ` +
        `this process lives. Keep what acquire() returns: ${REPAIR}.`,
    );
  }

  #describe(lease: Lease): { readonly text: string; readonly callSite: string } {
    this.#reported.add(lease);
    this.#callSites.noteAll();
    const acquired = lease.callSite?.text;
    const unknown = lease.isGuarded ? '' : ' (the next time this says where it was acquired)';
    const callSite = acquired === undefined ? unknown : `, acquired ${acquired}`;
    return { text: subjectOf(lease.tenure.claim.key, lease.key), callSite };
  }
}
