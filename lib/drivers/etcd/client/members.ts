import type { Clock, Random } from '../../../core/clock.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import type { Target } from '../options.js';
import { type Address, addressesOf, isName } from './addresses.js';
import { Member } from './member.js';
import { within } from './supplied.js';

/** Milliseconds between two look-ups of the names. */
const LOOK_EVERY = 200;

/**
 * The members of the cluster, of which one is used at a time. A name is looked up when it is first needed, and again after
 * each failure: addresses change.
 */
export class Members {
  readonly #options: Target;
  readonly #clock: Clock;
  /** Random, from 0 to 1: chooses the first member, so that not all instances begin with the same one. */
  readonly #first: number;
  readonly #byAddress = new Map<string, Member>();
  readonly #hasNames: boolean;
  #current: Member | undefined;
  #looking: Promise<void> | undefined;
  #lookedAt = -Infinity;
  #failure: Error | undefined;
  #closed = false;

  constructor(options: Target, clock: Clock, random: Random) {
    this.#options = options;
    this.#clock = clock;
    this.#first = random();
    this.#hasNames = options.hosts.some(isName);
  }

  /** The number of members that are known. */
  get size(): number {
    return this.#byAddress.size;
  }

  /** True where a request may find a second member. */
  get mayBeOthers(): boolean {
    return this.#hasNames || this.size > 1;
  }

  /**
   * The member that is used, or the next one that was not tried. Undefined when all were tried, also the new members of
   * a name.
   *
   * @throws DriverUnavailableError when there is none, because no name can be resolved
   */
  async next(tried: ReadonlySet<Member>, timeout: number): Promise<Member | undefined> {
    if (this.size === 0) this.#look();
    if (!this.#untried(tried) && this.#looking) {
      const found = within(this.#clock, this.#looking, timeout, 'the name server does not answer');
      await found.catch((error: Error) => (this.#failure = error));
    }
    if (this.size > 0) return this.#untried(tried);
    const names = this.#options.hosts.map(({ name }) => name).join(', ');
    const reason = this.#failure?.message ?? 'no address';
    throw new DriverUnavailableError(
      `etcd: no address was found for ${names}: ${reason}. Check the names in \`hosts\`.`,
      {
        sent: false,
        cause: this.#failure,
      },
    );
  }

  /** Leaves a member. Returns true when another one is used from now on. */
  leave(member: Member): boolean {
    if (this.#hasNames) this.#look();
    if (member !== this.#current) return false;
    const all = [...this.#byAddress.values()];
    this.#current = all[(all.indexOf(member) + 1) % all.length];
    return this.#current !== member;
  }

  close(): void {
    this.#closed = true;
    for (const member of this.#byAddress.values()) member.close();
  }

  #untried(tried: ReadonlySet<Member>): Member | undefined {
    if (this.#current && !tried.has(this.#current)) return this.#current;
    return [...this.#byAddress.values()].find((member) => !tried.has(member));
  }

  #look(): void {
    const now = this.#clock.now();
    if (this.#looking || this.#closed || now - this.#lookedAt < LOOK_EVERY) return;
    this.#lookedAt = now;
    this.#looking = this.#update().finally(() => (this.#looking = undefined));
  }

  async #update(): Promise<void> {
    const { hosts } = this.#options;
    const found = await Promise.allSettled(hosts.map(addressesOf));
    if (this.#closed) return;
    const addresses: Address[] = found.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
    const failed = found.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    this.#failure = failed?.reason as Error | undefined;
    const wanted = new Set(addresses.map(keyOf));
    for (const address of addresses) {
      const key = keyOf(address);
      if (!this.#byAddress.has(key)) this.#byAddress.set(key, new Member(address, this.#options, this.#clock));
    }
    // Where a name cannot be resolved, its former addresses are better than none.
    if (!failed) for (const key of this.#byAddress.keys()) if (!wanted.has(key)) this.#forget(key);
    const all = [...this.#byAddress.values()];
    this.#current ??= all[Math.floor(this.#first * all.length)];
  }

  #forget(key: string): void {
    const member = this.#byAddress.get(key)!;
    this.#byAddress.delete(key);
    member.close();
    if (member === this.#current) this.#current = this.#byAddress.values().next().value;
  }
}

function keyOf({ ip, port }: Address): string {
  return `${ip} ${port}`;
}
