import { SystemClock, systemRandom } from '../../core/clock.js';
import type {
  AcquireMode,
  Claim,
  DriverCapabilities,
  DriverListener,
  Granted,
  LeaseRef,
  LockDriver,
  LockRecord,
  Refused,
  RenewOutcome,
  TokenBlock,
} from '../../core/lock-driver.js';
import { pause } from '../../core/pause.js';
import { namespaceOf } from '../../core/store-key.js';
import { Listeners } from '../common/listeners.js';
import { recordOf } from '../redis/lease-format.js';
import { mostNamed } from './ballot.js';
import { Fairness } from './fairness.js';
import { giveBack, release } from './give-back.js';
import { channelOf, leaseKey, waitersKey } from './lease-text.js';
import { checkOptions, type RedlockDriverOptions } from './options.js';
import { Polls } from './polls.js';
import { QuorumAcquire } from './quorum-acquire.js';
import { timeoutOf, tooFew } from './quorum.js';
import { RedlockFactStore } from './redlock-fact-store.js';
import { scripts } from './scripts/scripts.generated.js';
import { ServerSet } from './server-set.js';
import { reserve } from './tokens.js';

/**
 * Leases on an odd number of independent Redis servers, 6.2 or later. The holder of a lease has the votes of a quorum of
 * servers. A quorum settles every call, not the slowest server.
 *
 * Exclusive as long as
 *
 * 1. the clocks of the servers run at the same rate, and
 * 2. no server of a quorum loses its data: one that restarts without them within a TTL may vote twice.
 *
 * Not covered:
 * - an order of arrival: there is no queue. Waiters hear of a release.
 * - fencing tokens after a loss of data, unless the clocks of the servers agree.
 */
export class RedlockDriver implements LockDriver {
  readonly name = 'redlock';
  readonly capabilities: DriverCapabilities = { scope: 'server', queue: false, push: true, minTtl: 100 };

  readonly facts: RedlockFactStore;

  readonly #clock = new SystemClock();
  readonly #polls = new Polls(this.#clock);
  readonly #servers: ServerSet;
  readonly #acquiring: QuorumAcquire;
  readonly #fairness: Fairness;
  readonly #listeners = new Listeners();
  /** Channels whose subscription is under way, or has reached a quorum of servers. */
  readonly #channels = new Map<string, Promise<unknown> | 'subscribed'>();
  #connecting: Promise<void> | undefined;

  /** @throws LockConfigError that names each wrong option */
  constructor(options: RedlockDriverOptions) {
    const clock = this.#clock;
    this.#servers = new ServerSet(checkOptions(options), this.#polls, clock, {
      up: () => this.#listeners.notify({ type: 'up' }),
      down: (cause) => this.#listeners.notify({ type: 'down', cause }),
      usable: (server) => this.facts.mayHaveMissed(server),
      warning: (message) => this.#listeners.notify({ type: 'warning', message }),
      message: (server, channel, message) => {
        if (message === 'changed') this.facts.heard(server, channel);
        else this.#heard(message);
      },
    });
    const random = systemRandom;
    this.#acquiring = new QuorumAcquire(this.#servers, clock, random);
    this.#fairness = new Fairness(this.#servers.quorum, clock, random);
    this.facts = new RedlockFactStore({
      servers: this.#servers,
      acquiring: this.#acquiring,
      release: (claim) => this.release(claim),
      clock,
      random,
    });
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
    const leave = this.#fairness.leaves(claim.key);
    if (leave > 0) await pause(this.#clock, leave);
    return this.#acquiring.run(claim, mode);
  }

  async cancel(claim: Claim): Promise<void> {
    this.#acquiring.end(claim);
    const call = release(claim, true);
    const answers = this.#servers.all.map((server) => server.send(call));
    await this.#polls.firstQuorum(answers, timeoutOf(claim.ttl));
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    if (leases.length === 0) return [];
    for (const { connection } of this.#servers.all) connection.lookAtClocks();
    const timeout = timeoutOf(Math.min(...leases.map(({ ttl }) => ttl)));
    const replies = this.#acquiring.renew(leases);
    const outcomes = await this.#polls.ask({
      first: replies,
      timeout,
      decide: (tally) => {
        if (tally.failures.length >= this.#servers.quorum) throw tooFew(tally);
        const verdicts = leases.map((_, index) => this.#verdict(tally.answers.map((answer) => answer[index]!)));
        return tally.pending === 0 || !verdicts.includes('unknown') ? verdicts : undefined;
      },
    });
    // The votes that are left give no lease, and the renewal has armed them again.
    const gone = leases.filter((_, index) => outcomes[index] === 'gone');
    for (const lease of gone) this.release(lease).catch(() => undefined);
    return outcomes;
  }

  release(lease: LeaseRef): Promise<boolean> {
    this.#fairness.released(lease.key);
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
    const { record } = await this.#polls.ask({
      first: replies as Promise<[number?, string?, number?]>[],
      timeout: timeoutOf(Infinity),
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
        // Servers that did not answer may name this holder, too.
        return { record: leader && times + tally.failures.length >= quorum ? leader.record : null };
      },
    });
    return record;
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.remove(listener);
    if (this.#listeners.isEmpty) this.#servers.close();
  }

  /** The outcome of the answers of all servers for one lease. */
  #verdict(answers: readonly number[]): RenewOutcome {
    const { quorum } = this.#servers;
    const held = answers.filter((waiters) => waiters >= 0);
    if (held.length >= quorum) return { waiters: Math.max(...held) };
    return answers.length - held.length >= quorum ? 'gone' : 'unknown';
  }

  /** Resolves when a quorum of servers announces releases, or cannot for now: releases are hints (S10). */
  async #subscribe(channel: string): Promise<void> {
    let subscribing = this.#channels.get(channel);
    if (!subscribing) {
      const subscriptions = this.#servers.all.map(({ connection }) => {
        connection.checks.uses(namespaceOf(channel));
        return connection.subscribe(channel, true);
      });
      subscribing = this.#polls.firstQuorum(subscriptions, timeoutOf(Infinity)).catch(() => undefined);
      this.#channels.set(channel, subscribing);
    }
    await subscribing;
    this.#channels.set(channel, 'subscribed');
  }

  #heard(message: string): void {
    const freed = /^freed (\S+) \{(.*)\}$/s.exec(message);
    if (freed && this.#fairness.isFree(freed[1]!)) {
      this.#clock.after(this.#fairness.spread(), () => this.#listeners.notify({ type: 'freed', key: freed[2]! }));
    }
    const contended = /^contended \{(.*)\}$/s.exec(message);
    if (!contended) return;
    this.#fairness.wanted(contended[1]!);
    this.#listeners.notify({ type: 'contended', key: contended[1]! });
  }
}
