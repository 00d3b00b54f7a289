import type {
  AcquireMode,
  Claim,
  DriverCapabilities,
  DriverEvent,
  DriverListener,
  Granted,
  LeaseRef,
  LockDriver,
  LockRecord,
  Refused,
  RenewOutcome,
  TokenBlock,
} from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import { recordOf } from '../redis/lease-format.js';
import { mostNamed } from './ballot.js';
import { Courtesy } from './courtesy.js';
import { FreedCount } from './freed.js';
import { giveBack, release } from './give-back.js';
import { channelOf, leaseKey, waitersKey } from './lease-text.js';
import { checkOptions, type RedlockDriverOptions } from './options.js';
import { pause, QuorumAcquire } from './quorum-acquire.js';
import { firstQuorum, patienceFor, poll, tooFew } from './quorum.js';
import { RedlockFactStore } from './redlock-fact-store.js';
import { scripts } from './scripts/scripts.generated.js';
import { ServerSet } from './server-set.js';
import { reserve } from './tokens.js';

/** Over how many milliseconds those who wait are told of a release. */
const SPREAD = 4;

/**
 * Leases on an odd number of independent Redis servers, 6.2 or later: held by whoever has the votes of a quorum. Every
 * call is settled by a quorum, not by the slowest server. Exclusive as long as the servers' clocks run at the same rate
 * and none of a quorum forgets: a server that restarts without its data within a TTL may vote twice. The fencing tokens
 * still increase then, if the clocks agree. There is no queue, so it is not fair; who waits is told of a release.
 */
export class RedlockDriver implements LockDriver {
  readonly name = 'redlock';
  readonly capabilities: DriverCapabilities = { scope: 'server', queue: false, push: true, minTtl: 100 };

  readonly facts: RedlockFactStore;

  readonly #servers: ServerSet;
  readonly #acquiring: QuorumAcquire;
  readonly #freed: FreedCount;
  readonly #courtesy = new Courtesy();
  readonly #listeners = new Set<DriverListener>();
  /** Channels that a quorum of servers tells us of, and those that were asked for. */
  readonly #channels = new Map<string, Promise<unknown> | 'subscribed'>();
  #connecting: Promise<void> | undefined;

  /** @throws LockConfigError naming what is wrong */
  constructor(options: RedlockDriverOptions) {
    this.#servers = new ServerSet(checkOptions(options), {
      up: () => this.#tell({ type: 'up' }),
      down: (cause) => this.#tell({ type: 'down', cause }),
      usable: (server) => this.facts.mayHaveMissed(server),
      warning: (message) => this.#tell({ type: 'warning', message }),
      message: (server, channel, message) => {
        if (message === 'changed') this.facts.heard(server, channel);
        else this.#heard(message);
      },
    });
    this.#acquiring = new QuorumAcquire(this.#servers);
    this.facts = new RedlockFactStore(this.#servers, this.#acquiring, (claim) => this.release(claim));
    this.#freed = new FreedCount(this.#servers.quorum);
  }

  connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    this.#connecting ??= this.#servers.connect();
    return this.#connecting;
  }

  async acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused> {
    this.#servers.assertDistinct();
    const channel = channelOf(claim.key);
    if (this.#channels.get(channel) !== 'subscribed') await this.#subscribe(channel);
    const leave = this.#courtesy.leaves(claim.key);
    if (leave > 0) await pause(leave);
    return this.#acquiring.run(claim, mode);
  }

  async cancel(claim: Claim): Promise<void> {
    this.#acquiring.end(claim);
    const call = release(claim, true);
    const answers = this.#servers.all.map((server) => server.send(call));
    await firstQuorum(answers, patienceFor(claim.ttl));
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    if (leases.length === 0) return [];
    for (const { connection } of this.#servers.all) connection.lookAtClocks();
    const patience = patienceFor(Math.min(...leases.map(({ ttl }) => ttl)));
    const replies = this.#acquiring.renew(leases);
    const outcomes = await poll({
      first: replies,
      patience,
      decide: (tally) => {
        if (tally.failures.length >= this.#servers.quorum) throw tooFew(tally);
        const verdicts = leases.map((_, index) => this.#verdict(tally.answers.map((answer) => answer[index]!)));
        return tally.pending === 0 || !verdicts.includes('unknown') ? verdicts : undefined;
      },
    });
    // The votes that are left are of no use to us, and were just armed again.
    const gone = leases.filter((_, index) => outcomes[index] === 'gone');
    for (const lease of gone) this.release(lease).catch(() => undefined);
    return outcomes;
  }

  release(lease: LeaseRef): Promise<boolean> {
    this.#courtesy.released(lease.key);
    return giveBack(this.#servers, lease, this.#acquiring.end(lease));
  }

  async reserve(lease: LeaseRef): Promise<TokenBlock | null> {
    const block = await reserve(this.#servers, lease);
    if (block) this.#acquiring.reserved(lease, block);
    return block;
  }

  async inspect(key: string): Promise<LockRecord | null> {
    const { quorum } = this.#servers;
    const replies = this.#servers.run(scripts.inspect, [leaseKey({ key }), waitersKey({ key })], []);
    const { record } = await poll({
      first: replies as Promise<[number?, string?, number?]>[],
      patience: patienceFor(Infinity),
      decide(tally) {
        if (tally.failures.length >= quorum) throw tooFew(tally);
        const records = tally.answers.flatMap(([remaining = 0, lease, waiters = 0]) =>
          lease === undefined ? [] : [recordOf(remaining, lease, waiters)],
        );
        if (tally.answers.length - records.length >= quorum) return { record: null };
        const leader = mostNamed(records);
        const times = leader?.times ?? 0;
        if (leader && times >= quorum) return leader;
        if (tally.pending > 0) return undefined;
        // Those that did not answer may name it too.
        return { record: leader && times + tally.failures.length >= quorum ? leader.record : null };
      },
    });
    return record;
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#servers.close();
  }

  /** What the servers' answers for one lease come to. */
  #verdict(answers: readonly number[]): RenewOutcome {
    const { quorum } = this.#servers;
    const held = answers.filter((waiters) => waiters >= 0);
    if (held.length >= quorum) return { waiters: Math.max(...held) };
    return answers.length - held.length >= quorum ? 'gone' : 'unknown';
  }

  /** Resolves when a quorum of servers tells us of releases, or cannot for now: they are hints. */
  async #subscribe(channel: string): Promise<void> {
    let subscribing = this.#channels.get(channel);
    if (!subscribing) {
      const subscriptions = this.#servers.all.map(({ connection }) => {
        connection.checks.uses(namespaceOf(channel));
        return connection.subscribe(channel, true);
      });
      subscribing = firstQuorum(subscriptions, patienceFor(Infinity)).catch(() => undefined);
      this.#channels.set(channel, subscribing);
    }
    await subscribing;
    this.#channels.set(channel, 'subscribed');
  }

  #heard(message: string): void {
    const freed = /^freed (\S+) \{(.*)\}$/s.exec(message);
    if (freed && this.#freed.isFree(freed[1]!)) {
      // Else who is nearest to the servers, or first in a loop, would get the key each time.
      setTimeout(() => this.#tell({ type: 'freed', key: freed[2]! }), Math.random() * SPREAD).unref();
    }
    const contended = /^contended \{(.*)\}$/s.exec(message);
    if (!contended) return;
    this.#courtesy.wanted(contended[1]!);
    this.#tell({ type: 'contended', key: contended[1]! });
  }

  #tell(event: DriverEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
