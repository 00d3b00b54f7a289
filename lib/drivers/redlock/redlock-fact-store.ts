import { SystemClock } from '../../core/clock.js';
import { DriverUnavailableError } from '../../core/errors.js';
import { ExpiringMap } from '../../core/expiring-map.js';
import type { FactStore } from '../../core/fact-store.js';
import { newHolder } from '../../core/ids.js';
import { type Claim, NO_METADATA } from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import { RedisFactStore } from '../redis/redis-fact-store.js';
import { pause, type QuorumAcquire } from './quorum-acquire.js';
import { firstQuorum, patienceFor, poll, quorumOf, tooFew } from './quorum.js';
import type { ServerSet } from './server-set.js';
import type { Server } from './server.js';

/** How long one who moves a number may take, and others wait for it, in milliseconds. */
const TURN = 2000;
/** Milliseconds within which the messages of all servers about one change count as one. */
const CHANGES = 10;

/**
 * Facts are written to a quorum at least, and read from as many servers as answer soon: one that was removed while a
 * server could not be reached may be seen again there until its TTL ends. Numbers are moved by a majority; a lease keeps
 * those who move the same one from splitting the servers between them, and nobody else from moving it.
 */
export class RedlockFactStore implements FactStore {
  readonly #servers: ServerSet;
  readonly #acquiring: QuorumAcquire;
  readonly #release: (claim: Claim) => Promise<unknown>;
  readonly #stores: ReadonlyMap<Server, RedisFactStore>;
  /** What this instance wrote last, by scope and id, as long as it lasts: refreshed, a fact keeps its version. */
  readonly #written = new ExpiringMap<{ readonly value: string; readonly version: number }>(new SystemClock());
  #version = 0;

  constructor(servers: ServerSet, acquiring: QuorumAcquire, release: (claim: Claim) => Promise<unknown>) {
    this.#servers = servers;
    this.#acquiring = acquiring;
    this.#release = release;
    this.#stores = new Map(servers.all.map((server) => [server, new RedisFactStore(server.connection)]));
  }

  async put(scope: string, id: string, value: string, ttl: number): Promise<void> {
    const name = JSON.stringify([scope, id]);
    let written = this.#written.get(name);
    if (written?.value !== value) {
      this.#version = Math.max(this.#version + 1, Date.now() * 1000);
      written = { value, version: this.#version };
    }
    this.#written.set(name, written, ttl);
    const { version } = written;
    await firstQuorum(
      this.#each((facts) => facts.put(scope, id, `${version} ${value}`, ttl)),
      patienceFor(ttl),
    );
  }

  async remove(scope: string, id: string): Promise<void> {
    this.#written.delete(JSON.stringify([scope, id]));
    await firstQuorum(
      this.#each((facts) => facts.remove(scope, id)),
      patienceFor(Infinity),
    );
  }

  list(scope: string): Promise<ReadonlyMap<string, string>> {
    const { quorum } = this.#servers;
    return poll({
      first: this.#each((facts) => facts.list(scope)),
      patience: 100,
      decide(tally) {
        if (tally.failures.length >= quorum) throw tooFew(tally);
        return tally.pending === 0 ? merged(tally.answers, tally.failures.length) : undefined;
      },
    });
  }

  watch(scope: string, changed: () => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    const heard = (): void => {
      timer ??= setTimeout(() => {
        timer = undefined;
        changed();
      }, CHANGES).unref();
    };
    const ends = [...this.#stores.values()].map((facts) => facts.watch(scope, heard));
    return () => {
      clearTimeout(timer);
      for (const end of ends) end();
    };
  }

  async advance(scope: string, id: string, to: number, by: string, ttl: number): Promise<'mine' | 'taken'> {
    const { quorum } = this.#servers;
    const turn = await this.#turn(`${namespaceOf(scope)}:a:${scope.length}:${scope}:${id}`);
    try {
      return await poll({
        first: this.#each((facts) => facts.advance(scope, id, to, by, ttl)),
        patience: patienceFor(Infinity),
        decide(tally) {
          const mine = tally.answers.filter((answer) => answer === 'mine').length;
          if (mine >= quorum) return 'mine';
          if (tally.failures.length >= quorum) throw tooFew(tally);
          if (mine + tally.pending >= quorum || tally.answers.length < quorum) return undefined;
          return 'taken';
        },
      });
    } finally {
      this.#release(turn).catch(() => undefined);
    }
  }

  /** A message came over this channel of a server. */
  heard(server: Server, channel: string): void {
    this.#stores.get(server)?.heard(channel);
  }

  /** A server can be used again: what it published before was lost. */
  mayHaveMissed(server: Server): void {
    this.#stores.get(server)?.mayHaveMissed();
  }

  #each<T>(call: (facts: RedisFactStore) => Promise<T>): Promise<T>[] {
    this.#servers.assertDistinct();
    return [...this.#stores.values()].map(call);
  }

  async #turn(key: string): Promise<Claim> {
    const claim: Claim = { key, holder: newHolder(), ttl: TURN, instance: '', metadata: NO_METADATA };
    const until = performance.now() + 3 * TURN;
    while (performance.now() < until) {
      const answer = await this.#acquiring.run(claim, 'try');
      if (answer.status === 'granted') return claim;
      await pause(1 + Math.random() * 9);
    }
    throw new DriverUnavailableError('Redlock: too many instances change this number at once. Try again.', {
      sent: false,
    });
  }
}

/**
 * The facts that servers listed, each with its newest value. What a quorum has is on all but `size - quorum` of those
 * that answered, and what was removed from a quorum on fewer, so long as enough of them answered.
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
