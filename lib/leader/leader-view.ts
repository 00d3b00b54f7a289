import type { Timer } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import type { LockRecord } from '../core/lock-driver.js';
import type { LockManager } from '../locks/lock-manager.js';
import { coalesced } from './background.js';
import type { Member } from './leadership.js';
import type { PeerRecords } from './peer-records.js';

/**
 * The instance that leads, other than this one, as far as this one knows. A hint: it may be late. It is forgotten when the
 * store did not confirm it for a lease duration, because the leader's lease has run out by then.
 */
export class LeaderView {
  /** Asks the store in the background. */
  readonly look: () => void;
  readonly #manager: LockManager;
  readonly #settings: { readonly storeKey: string; readonly leaseDuration: Milliseconds };
  readonly #peers: PeerRecords;
  readonly #changed: (leader: Member | null) => void;
  #timer: Timer | undefined;
  #seenAt = 0;

  constructor(
    manager: LockManager,
    settings: { readonly storeKey: string; readonly leaseDuration: Milliseconds },
    peers: PeerRecords,
    changed: (leader: Member | null) => void,
  ) {
    this.#manager = manager;
    this.#settings = settings;
    this.#peers = peers;
    this.#changed = changed;
    this.look = coalesced(async () => {
      const record = await manager.inspect(settings.storeKey).catch(() => undefined);
      if (record !== undefined) this.saw(record);
    });
  }

  /** The leader that the store names now. @throws DriverUnavailableError */
  async ask(): Promise<Member | null> {
    const record = await this.#manager.inspect(this.#settings.storeKey);
    this.saw(record);
    return this.#leaderOf(record);
  }

  saw(record: LockRecord | null): void {
    const leader = this.#leaderOf(record);
    this.#seenAt = this.#manager.clock.now();
    if (leader && !this.#timer) this.#expireAfter(this.#settings.leaseDuration);
    this.#changed(leader);
  }

  /**
   * Null where the lease is in the name of this instance: an earlier process with the same id left it behind, or this
   * process is giving it back. Nobody leads with it.
   */
  #leaderOf(record: LockRecord | null): Member | null {
    return record && record.instance !== this.#manager.instance ? this.#peers.leader(record) : null;
  }

  #expireAfter(time: Milliseconds): void {
    const { clock } = this.#manager;
    this.#timer = clock.after(time, () => {
      this.#timer = undefined;
      const left = this.#seenAt + this.#settings.leaseDuration - clock.now();
      if (left > 0) this.#expireAfter(left);
      else this.#changed(null);
    });
  }
}
