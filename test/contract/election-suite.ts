import { randomUUID } from 'node:crypto';
import { type LeadershipState, type LockDriver, MemberNotFoundError } from 'nestjs-dist-lock';
import { filter, firstValueFrom } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import type { ElectionSettings } from '../../lib/leader/election-settings.js';
import { Candidate } from '../support/engine/candidate.js';
import { FaultyDriver } from '../support/engine/faulty-driver.js';
import { RealEngine } from '../support/engine/real-engine.js';

export interface ElectionSuiteOptions {
  /** Milliseconds. Default: 1500. */
  readonly leaseDuration?: number;
  /** Whether the driver queues those who wait. Default: true. */
  readonly hasQueue?: boolean;
  /** Milliseconds beyond the lease duration within which the leader that died is followed. Default: 250. */
  readonly failOverMargin?: number;
}

type Instance = Candidate<{ manager: RealEngine['manager']; driver: FaultyDriver }>;

/**
 * What elections promise with every driver, over real time and a real store.
 *
 * @param connect makes a driver for one more instance on the same store
 */
export function electionSuite(name: string, connect: () => LockDriver, options: ElectionSuiteOptions = {}): void {
  const { leaseDuration = 1500, failOverMargin = 250 } = options;
  const timings = { leaseDuration, renewDeadline: leaseDuration * 0.66, retryPeriod: leaseDuration / 8 };

  describe(`elections with ${name}`, () => {
    let namespace: string;
    const instances: Instance[] = [];
    beforeEach(() => {
      namespace = `suite-${randomUUID()}`;
    });
    afterEach(async () => {
      await Promise.all(
        instances.splice(0).map(async ({ leader, engine }) => {
          await leader.stop();
          await engine.manager.close(0);
        }),
      );
    });

    const join = async (id: string, settings: Partial<ElectionSettings> = {}): Promise<Instance> => {
      const driver = new FaultyDriver(connect(), new SystemClock());
      const { manager } = new RealEngine(driver, id);
      const scope = { storeKey: `${namespace}:e:default`, membersScope: `${namespace}:m:default` };
      const instance = new Candidate({ driver, manager }, id, { ...timings, ...scope, grace: 1000, ...settings });
      instances.push(instance);
      await instance.start();
      return instance;
    };
    const until = (instance: Instance, test: (state: LeadershipState) => boolean): Promise<LeadershipState> =>
      firstValueFrom(instance.leader.state$.pipe(filter(test)));
    const leads = (instance: Instance): Promise<LeadershipState> => until(instance, ({ role }) => role === 'leader');
    const follows = (instance: Instance, leader: string): Promise<LeadershipState> =>
      until(instance, (state) => state.leader?.id === leader);
    const lists = (observer: Instance, expected: readonly string[]): Promise<unknown> =>
      firstValueFrom(
        observer.leader.members$.pipe(
          filter((members) => String(members.map(({ id, role }) => `${id} ${role}`)) === String(expected)),
        ),
      );
    /** `a` leads, the others wait in the order of their names. */
    const line = async (settings: Partial<ElectionSettings>[] = [{}, {}, {}]): Promise<Instance[]> => {
      const inLine: Instance[] = [];
      for (const [index, own] of settings.entries()) {
        const instance = await join('abcdef'[index]!, own);
        await (index === 0 ? leads(instance) : follows(instance, 'a'));
        inLine.push(instance);
      }
      await lists(
        inLine[0]!,
        inLine.map(({ id }, index) => `${id} ${index === 0 ? 'leader' : 'candidate'}`),
      );
      return inLine;
    };

    it('have one leader, whom every instance knows', async () => {
      const line3 = await line();
      const [a] = line3;
      expect(line3.filter(({ leader }) => leader.isLeader())).toEqual([a]);
      for (const { leader } of line3) expect(await leader.leader()).toEqual(a!.leader.self);
    });

    it('pass on at a resignation, each time with a larger term', async () => {
      const [a, b] = await line([{}, {}]);
      const terms = [a!.leader.assertLeader().number];
      for (const [from, to] of [
        [a!, b!],
        [b!, a!],
        [a!, b!],
      ] as const) {
        await until(to, ({ role }) => role === 'candidate');
        await from.leader.resign();
        await leads(to);
        terms.push(to.leader.assertLeader().number);
      }
      expect(terms).toEqual([...new Set(terms)].sort((x, y) => x - y));
    });

    it('pass on at a shutdown', async () => {
      const [a, b, c] = await line();
      await a!.leader.stop();
      await Promise.race([leads(b!), leads(c!)]);
      expect(a!.leader.state.role).toBe('stopped');
    });

    it('are followed by push by who only watches', async () => {
      const [a, b] = await line([{}, {}]);
      const watcher = await join('w', { autoCampaign: false });
      await follows(watcher, 'a');
      await a!.leader.resign();
      await Promise.all([follows(watcher, 'b'), leads(b!)]);
      expect(watcher.roles).toEqual(['follower']);
    });

    it('go on in time when the leader is cut off, and never with two leaders', async () => {
      const [a, b] = await line([{}, {}]);
      const cutOffAt = performance.now();
      a!.cutOff();
      const overlap: boolean[] = [];
      b!.leader.state$.subscribe(({ role }) => role === 'leader' && overlap.push(a!.leader.isLeader()));
      await leads(b!);
      const took = performance.now() - cutOffAt;
      expect(overlap).toEqual([false]);
      expect(took).toBeLessThan(leaseDuration + failOverMargin);
      // It was not taken from a leader that may still lead.
      expect(took).toBeGreaterThan(timings.renewDeadline - timings.retryPeriod - 50);
      a!.reconnect();
      await follows(a!, 'b');
    });

    it('are not inherited by a restarted process with the same instance id', async () => {
      const a = await join('a');
      await leads(a);
      const { number } = a.leader.assertLeader();
      a.cutOff();
      const restarted = await join('a');
      await leads(restarted);
      expect(a.leader.isLeader()).toBe(false);
      expect(restarted.leader.assertLeader().number).toBeGreaterThan(number);
    });

    it('are apart in each namespace', async () => {
      const [a] = await line([{}]);
      namespace = `other-${randomUUID()}`;
      const other = await join('b');
      await leads(other);
      expect(a!.leader.isLeader()).toBe(true);
      expect((await other.leader.members()).map(({ id }) => id)).toEqual(['b']);
    });

    it('show their members as they come, change and leave', async () => {
      const [a, b] = await line([{}, {}]);
      const changed = lists(b!, ['a follower', 'b leader']);
      await a!.leader.resign();
      await changed;
      await a!.leader.stop();
      await lists(b!, ['b leader']);
    });

    it('forget a member within the lease duration in which it died', async () => {
      const [a, b] = await line([{}, {}]);
      const diedAt = performance.now();
      b!.cutOff();
      await lists(a!, ['a leader']);
      expect(performance.now() - diedAt).toBeLessThan(leaseDuration + failOverMargin);
    });

    describe.skipIf(options.hasQueue === false)('where waiters are queued', () => {
      it('pass on to the member that the leader names', async () => {
        const [a, , c] = await line();
        await a!.leader.resign({ to: 'c' });
        await leads(c!);
        await follows(a!, 'c');
      });

      it('keep their leader when the member that it names is unknown', async () => {
        const [a] = await line();
        const term = a!.leader.assertLeader();
        await expect(a!.leader.resign({ to: 'x' })).rejects.toThrow(MemberNotFoundError);
        expect(a!.leader.state.term).toBe(term);
      });

      it('prefer the highest priority at a hand-over', async () => {
        const [a, b, c] = await line([{}, { priority: 1 }, { priority: 2 }]);
        await a!.leader.resign();
        await leads(c!);
        expect(b!.leader.isLeader()).toBe(false);
      });
    });
  });
}
