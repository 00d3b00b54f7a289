import { LockConfigError } from '../../core/errors.js';
import type { RedisClient, RedisConnectionOptions } from '../redis/clients.js';
import { type Script, ScriptCall } from '../redis/script-call.js';
import { firstQuorum, poll, quorumOf } from './quorum.js';
import { Server } from './server.js';
import { Proposals } from './tokens.js';

/** A URL, ioredis options, or the user's ioredis client, which is duplicated, never used or closed. */
export type RedlockServer = string | RedisClient | RedisConnectionOptions;

/** How long those that are slow to connect are waited for once the others can be used, and all of them at most. */
const STRAGGLERS = 1000;
const CONNECT = 15_000;
/** Sets of servers are the bits of a number. */
const MOST = 31;

export interface ServersListener {
  /** A quorum of them can be used, or no longer. */
  up(): void;
  down(cause: Error): void;
  /** One of them can be used again. */
  usable(server: Server): void;
  message(server: Server, channel: string, message: string): void;
  warning(message: string): void;
}

/** Who is asked at once, and who if those do not suffice. */
interface Order {
  readonly quorum: readonly Server[];
  readonly rest: readonly Server[];
}

/** An odd number of independent servers. */
export class Servers {
  readonly size: number;
  readonly quorum: number;
  readonly all: readonly Server[];
  readonly proposals = new Proposals();
  readonly #orders: readonly Order[];
  readonly #listener: ServersListener;
  #hasQuorum = false;
  /** A quorum that is replaced by new connections, without a failure in between, is no outage. */
  #isUp = false;
  #refusal: LockConfigError | undefined;

  /** @throws LockConfigError */
  constructor(servers: readonly RedlockServer[], listener: ServersListener) {
    checkNumber(servers);
    this.size = servers.length;
    this.quorum = quorumOf(servers.length);
    this.#listener = listener;
    this.all = servers.map((server, index) => this.#open(server, index));
    this.#orders = this.all.map((_, start) => {
      const order = [...this.all.slice(start), ...this.all.slice(0, start)];
      return { quorum: order.slice(0, this.quorum), rest: order.slice(this.quorum) };
    });
  }

  /** Rejects when too few can be reached, or when two are one and the same. */
  async connect(): Promise<void> {
    const attempts = this.all.map((server) => server.connect());
    const first = await poll({
      first: attempts,
      patience: STRAGGLERS,
      decide: (tally) => (tally.pending === 0 ? tally : undefined),
    });
    const mistake = first.failures.find((failure) => failure instanceof LockConfigError);
    if (mistake) throw mistake;
    await firstQuorum(attempts, CONNECT);
    this.assertDistinct();
  }

  /** @throws LockConfigError when two of them were found to be one server: its vote would count twice */
  assertDistinct(): void {
    if (this.#refusal) throw this.#refusal;
  }

  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>[] {
    const call = new ScriptCall(script, keys, args);
    return this.all.map((server) => server.send(call));
  }

  /** A quorum of them, the same for everybody who wants a key, as far as none is down or was late; and the others. */
  orderFor(key: string): Order {
    let start = key.length;
    for (let index = Math.max(0, key.length - 8); index < key.length; index++) start += key.charCodeAt(index);
    const order = this.#orders[start % this.size]!;
    if (!this.all.some(({ isAside }) => isAside)) return order;
    const all = [...order.quorum, ...order.rest].sort((a, b) => Number(a.isAside) - Number(b.isAside));
    return { quorum: all.slice(0, this.quorum), rest: all.slice(this.quorum) };
  }

  close(): void {
    for (const { connection } of this.all) connection.close();
  }

  #open(server: RedlockServer, index: number): Server {
    try {
      return new Server(index, toOptions(server), {
        changed: (one) => this.#changed(one),
        message: (one, channel, message) => this.#listener.message(one, channel, message),
        warning: (message) => this.#listener.warning(message),
      });
    } catch (error) {
      if (!(error instanceof LockConfigError)) throw error;
      throw new LockConfigError(error.message.replace('RedisDriver:', `RedlockDriver: servers[${index}]:`));
    }
  }

  #changed(server: Server): void {
    if (server.identity !== undefined) this.#listener.usable(server);
    const usable = this.all.filter(({ identity }) => identity !== undefined);
    this.#refusal = duplicates(usable);
    const hadQuorum = this.#hasQuorum;
    this.#hasQuorum = usable.length >= this.quorum;
    const outages = this.all.flatMap(({ outage }) => outage ?? []);
    if (this.#hasQuorum && !hadQuorum) {
      this.#isUp = true;
      this.#listener.up();
    } else if (this.#isUp && this.size - outages.length < this.quorum) {
      this.#isUp = false;
      const reasons = outages.map(({ message }) => message).join(' ');
      this.#listener.down(
        new Error(`${this.size - outages.length} of ${this.size} servers can be reached. ${reasons}`),
      );
    }
  }
}

function checkNumber(servers: readonly RedlockServer[]): void {
  if (!Array.isArray(servers)) {
    throw new LockConfigError('RedlockDriver: `servers` must be an array of URLs, ioredis options or clients.');
  }
  const { length } = servers;
  if (length > MOST) {
    throw new LockConfigError(
      `RedlockDriver: \`servers\` has ${length} entries; give it ${MOST} at most, 5 are usual.`,
    );
  }
  if (length >= 3 && length % 2 === 1) return;
  throw new LockConfigError(
    `RedlockDriver: \`servers\` must be an odd number of at least 3; there ${length === 1 ? 'is 1' : `are ${length}`}. ` +
      (length < 3
        ? 'For one server use RedisDriver; two could not outvote each other.'
        : `${length} servers bear the loss of no more than ${length - 1} do: remove one, or add one.`),
  );
}

function duplicates(servers: readonly Server[]): LockConfigError | undefined {
  const known = new Map<string, Server>();
  for (const server of servers) {
    const other = known.get(server.identity!);
    if (!other) {
      known.set(server.identity!, server);
      continue;
    }
    return new LockConfigError(
      `RedlockDriver: ${other.name} and ${server.name} are one and the same server, whose vote would count twice. ` +
        'Each entry of `servers` must be a server of its own, and no replica of another.',
    );
  }
  return undefined;
}

function toOptions(server: RedlockServer): RedisConnectionOptions {
  if (typeof server === 'string') return { url: server };
  if (typeof server !== 'object' || server === null) {
    throw new LockConfigError('RedisDriver: expected a URL, ioredis options or an ioredis client.');
  }
  return 'duplicate' in server ? { client: server } : server;
}
