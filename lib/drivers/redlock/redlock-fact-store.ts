import type { Clock, Random, Timer } from '../../core/clock.js';
import { DriverUnavailableError } from '../../core/errors.js';
import { ExpiringMap } from '../../core/expiring-map.js';
import type { FactStore } from '../../core/fact-store.js';
import { newHolder } from '../../core/ids.js';
import { type Claim, NO_METADATA } from '../../core/lock-driver.js';
import { pause } from '../../core/pause.js';
import { namespaceOf } from '../../core/store-key.js';
import { RedisFactStore } from '../redis/redis-fact-store.js';
import type { QuorumAcquire } from './quorum-acquire.js';
import { quorumOf, timeoutOf, tooFew } from './quorum.js';
import type { ServerSet } from './server-set.js';
import type { Server } from './server.js';

/** Milliseconds for which one instance may move a number, while the others wait for it. */
const TURN = 2000;
/** Milliseconds within which the messages of all servers about one change count as one message. */
const CHANGES = 10;

export interface RedlockFactStoreContext {
  readonly servers: ServerSet;
  readonly acquiring: QuorumAcquire;
  readonly release: (claim: Claim) => Promise<unknown>;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * The facts of a set of servers:
 *
 * 1. A fact is written to a quorum at least. It is read from all servers that answer soon.
 * 2. A number is moved by a majority. A short lease on the number keeps instances that move it at the same time from
 *    splitting the servers between them. The lease excludes nobody; the majority does.
 *
 * Not covered:
 * - a fact that was removed while a server could not be reached: it may be seen again there until its TTL ends.
 */
export class RedlockFactStore implements FactStore {
  readonly #context: RedlockFactStoreContext;
  readonly #stores: ReadonlyMap<Server, RedisFactStore>;
  /** The last value of each fact of this instance, by scope and id. A fact that is written again keeps its version. */
  readonly #written: ExpiringMap<{ readonly value: string; readonly version: number }>;
  #version = 0;

  constructor(context: RedlockFactStoreContext) {
    this.#context = context;
    this.#stores = new Map(context.servers.all.map((server) => [server, new RedisFactStore(server.connection)]));
    this.#written = new ExpiringMap(context.clock);
  }

  async put(scope: string, id: string, value: string, ttl: number): Promise<void> {
    const name = JSON.stringify([scope, id]);
    let written = this.#written.get(name);
    if (written?.value !== value) {
      this.#version = Math.max(this.#version + 1, this.#context.clock.wall() * 1000);
      written = { value, version: this.#version };
    }
    this.#written.set(name, written, ttl);
    const { version } = written;
    await this.#context.servers.polls.firstQuorum(
      this.#each((facts) => facts.put(scope, id, `${version} ${value}`, ttl)),
      timeoutOf(ttl),
    );
  }

  async remove(scope: string, id: string): Promise<void> {
    this.#written.delete(JSON.stringify([scope, id]));
    await this.#context.servers.polls.firstQuorum(
      this.#each((facts) => facts.remove(scope, id)),
      timeoutOf(Infinity),
    );
  }

  list(scope: string): Promise<ReadonlyMap<string, string>> {
    const { quorum, polls } = this.#context.servers;
    return polls.ask({
      first: this.#each((facts) => facts.list(scope)),
      timeout: 100,
      decide(tally) {
        if (tally.failures.length >= quorum) throw tooFew(tally);
        return tally.pending === 0 ? merged(tally.answers, tally.failures.length) : undefined;
      },
    });
  }

  watch(scope: string, changed: () => void): () => void {
    let timer: Timer | undefined;
    const heard = (): void => {
      timer ??= this.#context.clock.after(CHANGES, () => {
        timer = undefined;
        changed();
      });
    };
    const ends = [...this.#stores.values()].map((facts) => facts.watch(scope, heard));
    return () => {
      timer?.cancel();
      for (const end of ends) end();
    };
  }

  async advance(scope: string, id: string, to: number, by: string, ttl: number): Promise<'mine' | 'taken'> {
    const { servers, release } = this.#context;
    const { quorum, polls } = servers;
    const turn = await this.#turn(`${namespaceOf(scope)}:a:${scope.length}:${scope}:${id}`);
    try {
      return await polls.ask({
        first: this.#each((facts) => facts.advance(scope, id, to, by, ttl)),
        timeout: timeoutOf(Infinity),
        decide(tally) {
          const mine = tally.answers.filter((answer) => answer === 'mine').length;
          if (mine >= quorum) return 'mine';
          if (tally.failures.length >= quorum) throw tooFew(tally);
          if (mine + tally.pending >= quorum || tally.answers.length < quorum) return undefined;
          return 'taken';
        },
      });
    } finally {
      release(turn).catch(() => undefined);
    }
  }

  /** A message came over this channel of a server. */
  heard(server: Server, channel: string): void {
    this.#stores.get(server)?.heard(channel);
  }

  /** A server can be used again: messages that it published before were lost. */
  mayHaveMissed(server: Server): void {
    this.#stores.get(server)?.mayHaveMissed();
  }

  #each<T>(call: (facts: RedisFactStore) => Promise<T>): Promise<T>[] {
    this.#context.servers.assertDistinct();
    return [...this.#stores.values()].map(call);
  }

  async #turn(key: string): Promise<Claim> {
    const claim: Claim = { key, holder: newHolder(), ttl: TURN, instance: '', metadata: NO_METADATA };
    const { acquiring, clock, random } = this.#context;
    const until = clock.now() + 3 * TURN;
    while (clock.now() < until) {
      const answer = await acquiring.run(claim, 'try');
      if (answer.status === 'granted') return claim;
      await pause(clock, 1 + Math.floor(random() * 9));
    }
    throw new DriverUnavailableError('Redlock: too many instances change this number at once. Try again.', {
      sent: false,
    });
  }
}

/**
 * The facts that servers listed, each with its newest value. A fact counts where enough servers have it:
 *
 * 1. A fact that a quorum has is on at least `quorum - missing` of the servers that answered.
 * 2. A fact that was removed from a quorum is on fewer, if all servers answered.
 */
export function merged(lists: readonly ReadonlyMap<string, string>[], missing: number): ReadonlyMap<string, string> {
  const size = lists.length + missing;
  const least = Math.max(1, quorumOf(size) - missing);
  const newest = new Map<string, { version: number; value: string; times: number }>();
  for (const [id, fact] of lists.flatMap((list) => [...list])) {
    const space = fact.indexOf(' ');
    const version = Number(fact.slice(0, space));
    const known = newest.get(id) ?? { version: -1, value: '', times: 0 };
    known.times++;
    if (version > known.version) Object.assign(known, { version, value: fact.slice(space + 1) });
    newest.set(id, known);
  }
  return new Map([...newest].filter(([, { times }]) => times >= least).map(([id, { value }]) => [id, value]));
}
