import { DriverUnavailableError } from '../../../core/errors.js';
import type { Target } from '../options.js';
import { type Address, addressesOf, isName } from './addresses.js';
import { Member } from './member.js';
import { within } from './within.js';

/** Milliseconds between two looks at what is behind the names. */
const LOOK_EVERY = 200;

/**
 * The members of the cluster, of which one is used at a time. What is behind a name is looked up when it is first
 * needed, and again after each failure: addresses change.
 */
export class Members {
  readonly #options: Target;
  /** Not all instances should begin with the same member. */
  readonly #first = Math.random();
  readonly #byAddress = new Map<string, Member>();
  readonly #hasNames: boolean;
  #current: Member | undefined;
  #looking: Promise<void> | undefined;
  #lookedAt = -Infinity;
  #failure: Error | undefined;
  #closed = false;

  constructor(options: Target) {
    this.#options = options;
    this.#hasNames = options.hosts.some(isName);
  }

  /** How many there are, as far as is known. */
  get size(): number {
    return this.#byAddress.size;
  }

  /** Whether a request may find another member than those that it has tried. */
  get mayBeOthers(): boolean {
    return this.#hasNames || this.size > 1;
  }

  /**
   * The member that is used, or the next one that was not tried. Undefined when all were, also those that a name stands
   * for by now.
   *
   * @throws DriverUnavailableError when there is none, because no name can be resolved
   */
  async next(tried: ReadonlySet<Member>, timeout: number): Promise<Member | undefined> {
    const late = (): Error => new Error('the name server does not answer');
    if (this.size === 0) this.#look();
    if (!this.#untried(tried) && this.#looking) {
      await within(this.#looking, timeout, late).catch((error: Error) => (this.#failure = error));
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

  /** Whether another one is used from now on. */
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
    const now = performance.now();
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
      if (!this.#byAddress.has(keyOf(address))) this.#byAddress.set(keyOf(address), new Member(address, this.#options));
    }
    // What a name stood for before it could not be resolved is better than nothing.
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
