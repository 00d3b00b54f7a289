import { LockConfigError } from '../../core/errors.js';
import { OptionsCheck } from '../../core/options-check.js';
import { type Script, ScriptCall } from '../redis/commands/script-call.js';
import type { RedisClient, RedisConnectionOptions } from '../redis/connection/clients.js';
import { Proposals } from './proposals.js';
import { firstQuorum, poll, quorumOf } from './quorum.js';
import { Server } from './server.js';

/** A URL, ioredis options, or the user's ioredis client, which is duplicated, never used or closed. */
export type RedlockServer = string | RedisClient | RedisConnectionOptions;

/** How long those that are slow to connect are waited for once the others can be used, and all of them at most. */
const STRAGGLERS = 1000;
const CONNECT = 15_000;

export interface ServerSetListener {
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
export class ServerSet {
  readonly size: number;
  readonly quorum: number;
  readonly all: readonly Server[];
  readonly proposals = new Proposals();
  readonly #orders: readonly Order[];
  readonly #listener: ServerSetListener;
  #hasQuorum = false;
  /** A quorum that is replaced by new connections, without a failure in between, is no outage. */
  #isUp = false;
  #refusal: LockConfigError | undefined;

  /** @throws LockConfigError with all that is wrong with any of them */
  constructor(servers: readonly RedisConnectionOptions[], listener: ServerSetListener) {
    this.size = servers.length;
    this.quorum = quorumOf(servers.length);
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

/** What can be seen from their addresses; two names of one server are found when it is asked who it is. */
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
