import type { Clock } from '../../core/clock.js';
import { LockConfigError } from '../../core/errors.js';
import { OptionsCheck } from '../../core/options-check.js';
import { type Script, ScriptCall } from '../redis/commands/script-call.js';
import type { RedisClient, RedisConnectionOptions } from '../redis/connection/clients.js';
import type { Polls } from './polls.js';
import { Proposals } from './proposals.js';
import { quorumOf } from './quorum.js';
import { Server } from './server.js';

/**
 * One server: a URL, ioredis options, or an ioredis client. A client is duplicated; it is never used and never closed.
 */
export type RedlockServer = string | RedisClient | RedisConnectionOptions;

/** Milliseconds until all servers should be connected, and until a quorum of them must be. */
const STRAGGLERS = 1000;
const CONNECT = 15_000;

export interface ServerSetListener {
  /** A quorum of servers can be used. */
  up(): void;
  /** Fewer than a quorum can be reached. */
  down(cause: Error): void;
  /** One of them can be used again. */
  usable(server: Server): void;
  message(server: Server, channel: string, message: string): void;
  warning(message: string): void;
}

/** The servers that are asked first, and those that are asked if the first do not suffice. */
interface Order {
  readonly quorum: readonly Server[];
  readonly rest: readonly Server[];
}

/** An odd number of independent servers. */
export class ServerSet {
  readonly size: number;
  readonly quorum: number;
  readonly all: readonly Server[];
  readonly polls: Polls;
  readonly proposals: Proposals;
  readonly #orders: readonly Order[];
  readonly #listener: ServerSetListener;
  #hasQuorum = false;
  /** Stays true while a quorum is only replaced by new connections: without a failure that is no outage. */
  #isUp = false;
  #refusal: LockConfigError | undefined;

  /** @throws LockConfigError with the problems of all servers */
  constructor(servers: readonly RedisConnectionOptions[], polls: Polls, clock: Clock, listener: ServerSetListener) {
    this.size = servers.length;
    this.quorum = quorumOf(servers.length);
    this.polls = polls;
    this.proposals = new Proposals(clock);
    this.#listener = listener;
    const check = new OptionsCheck('RedlockDriver');
    const opened = servers.map((server, index) => this.#open(server, index, check));
    this.all = opened.flatMap((server) => server ?? []);
    refuseTwice(this.all, check);
    check.done();
    this.#orders = this.all.map((_, start) => {
      const order = [...this.all.slice(start), ...this.all.slice(0, start)];
      return { quorum: order.slice(0, this.quorum), rest: order.slice(this.quorum) };
    });
  }

  /** Rejects when fewer than a quorum can be reached, or when two entries are one server. */
  async connect(): Promise<void> {
    const attempts = this.all.map((server) => server.connect());
    const first = await this.polls.ask({
      first: attempts,
      timeout: STRAGGLERS,
      decide: (tally) => (tally.pending === 0 ? tally : undefined),
    });
    const mistake = first.failures.find((failure) => failure instanceof LockConfigError);
    if (mistake) throw mistake;
    await this.polls.firstQuorum(attempts, CONNECT);
    this.assertDistinct();
  }

  /** @throws LockConfigError when two entries were found to be one server: its vote would count twice */
  assertDistinct(): void {
    if (this.#refusal) throw this.#refusal;
  }

  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>[] {
    const call = new ScriptCall(script, keys, args);
    return this.all.map((server) => server.send(call));
  }

  /**
   * The servers in the order in which they are asked for a key. All instances ask the same quorum first, as far as no
   * server is down or late. Otherwise many votes would be split.
   */
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

  #open(options: RedisConnectionOptions, index: number, check: OptionsCheck): Server | undefined {
    try {
      return new Server(index, options, {
        changed: (one) => this.#changed(one),
        message: (one, channel, message) => this.#listener.message(one, channel, message),
        warning: (message) => this.#listener.warning(message),
      });
    } catch (error) {
      if (!(error instanceof LockConfigError)) throw error;
      check.problem(error.message.replace('RedisDriver:', `servers[${index}]:`));
      return undefined;
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

/** Finds equal addresses. Two names of one server are found later, by its identity. */
function refuseTwice(servers: readonly Server[], check: OptionsCheck): void {
  const names = servers.map(({ name }) => name);
  for (const name of new Set(names.filter((each, index) => names.indexOf(each) !== index))) {
    check.problem(
      `${name} is listed twice: its vote would count twice. Each entry of \`servers\` must be a server of its own.`,
    );
  }
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
