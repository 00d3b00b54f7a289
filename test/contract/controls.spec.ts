import { setImmediate } from 'node:timers/promises';
import type { Claim, DriverEvent, FactStore, LeaseRef, LockDriver, PlaceRef } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { driverContract } from 'nestjs-dist-lock/testing';
import { describe, expect, it } from 'vitest';

type PushedGrant = Extract<DriverEvent, { type: 'granted' }>;

/** Drivers that break one promise each, and the case that has to notice. */
const controls: { name: string; caughtBy: string; broken: () => LockDriver; shortTtl?: number }[] = [
  {
    name: 'two holders at once',
    caughtBy: 'grants a key to exactly one of many that ask at once',
    broken: () =>
      alter((driver) => ({
        acquire: (claim, mode) => driver.acquire({ ...claim, key: claim.key + Math.random() }, mode),
      })),
  },
  {
    name: 'a repeated acquire is refused as busy',
    caughtBy: 'answers a repeated acquire with the same grant and re-arms the TTL',
    broken: () =>
      alter((driver) => ({ acquire: (claim, mode) => driver.acquire({ ...claim, holder: `${Math.random()}` }, mode) })),
  },
  {
    name: 'a release that asks nobody whose lock it is',
    caughtBy: 'releases for the holder only, and once',
    broken: () =>
      alter((driver) => ({
        release: async (lease) => {
          const record = await driver.inspect(lease.key);
          return record !== null && driver.release({ ...lease, holder: record.holder });
        },
      })),
  },
  {
    name: 'a token that starts again',
    caughtBy: 'gives every grant of a key a larger fencing token',
    broken: () => alterGrant((token) => token % 3),
  },
  {
    name: 'a token that has lost its last digits',
    caughtBy: 'gives every grant of a key a larger fencing token',
    broken: () => alterGrant((token) => Number(token.toPrecision(9))),
  },
  {
    name: 'a lease that never ends',
    caughtBy: 'ends a lease that is not renewed',
    broken: () => alter((driver) => ({ acquire: (claim, mode) => driver.acquire({ ...claim, ttl: 1e9 }, mode) })),
  },
  {
    name: 'a lease that begins with each renewal',
    caughtBy: 'tells since when a key is held, by one clock, however often the lease is renewed',
    broken: () =>
      alter((driver) => ({
        inspect: async (key) => {
          const record = await driver.inspect(key);
          return record && { ...record, since: Date.now() };
        },
      })),
  },
  {
    name: 'a lease that ends early',
    caughtBy: 'ends a lease that is not renewed',
    // So long that its end is seen in time by a process that is busy with the other controls.
    shortTtl: 3000,
    broken: () =>
      alter((driver) => ({ acquire: (claim, mode) => driver.acquire({ ...claim, ttl: claim.ttl / 30 }, mode) })),
  },
  {
    name: 'a renewal that takes over',
    caughtBy: 'renews many leases, each with its own outcome, in order',
    broken: () => alter(() => ({ renew: async (leases: readonly LeaseRef[]) => leases.map(() => ({ waiters: 0 })) })),
  },
  {
    name: 'a renewal that says held and arms nothing',
    caughtBy: 'renews many leases, each with its own outcome, in order',
    broken: () =>
      alter((driver) => ({ renew: (leases) => driver.renew(leases.map((lease) => ({ ...lease, ttl: 50 }))) })),
  },
  {
    name: 'a renewal that arms the TTL of the claim',
    caughtBy: 'arms a lease for the TTL that a renewal names, also for a shorter one',
    broken: () =>
      alter((driver) => ({ renew: (leases) => driver.renew(leases.map((lease) => ({ ...lease, ttl: 30_000 }))) })),
  },
  {
    name: 'a cancel that forgets',
    caughtBy: 'cancels: gives back a grant, and refuses an acquire that arrives later',
    broken: () => alter((driver) => ({ cancel: async (claim: Claim) => void (await driver.release(claim)) })),
  },
  {
    name: 'keys that are cut at a brace',
    caughtBy: 'keeps keys apart, whatever their characters',
    broken: () =>
      alter((driver) => ({
        acquire: (claim, mode) => driver.acquire({ ...claim, key: claim.key.split('}')[0]! }, mode),
      })),
  },
  {
    name: 'a release that tells nobody',
    caughtBy: 'tells a waiting instance that the key was freed',
    broken: () => alter((driver) => ({ connect: () => driver.connect(() => undefined) })),
  },
  {
    name: 'a heartbeat that says queued and keeps no place',
    caughtBy: 'hands the lease to a waiter that keeps its place by heartbeats alone, and skips one that stopped',
    broken: () => alter(() => ({ keepPlaces: async (places) => places.map(() => ({ remaining: 1000 })) })),
  },
  {
    name: 'a heartbeat that keeps the places of the whole queue',
    caughtBy: 'hands the lease to a waiter that keeps its place by heartbeats alone, and skips one that stopped',
    broken: () => {
      const all = new Map<string, PlaceRef>();
      return alter((driver) => ({
        acquire: (claim, mode) => {
          if (mode === 'queue') all.set(claim.holder, { ...claim, behind: 0 });
          return driver.acquire(claim, mode);
        },
        keepPlaces: async (places) => {
          await driver.keepPlaces([...all.values()]);
          return driver.keepPlaces(places);
        },
      }));
    },
  },
  {
    name: 'heartbeats that are answered in another order',
    caughtBy: 'tells waiters, in order, how long the lease in front lasts and who has it, or that they have to ask',
    broken: () => alter((driver) => ({ keepPlaces: async (places) => (await driver.keepPlaces(places)).toReversed() })),
  },
  {
    name: 'a heartbeat that does not tell of another lease in front',
    caughtBy: 'tells waiters, in order, how long the lease in front lasts and who has it, or that they have to ask',
    broken: () =>
      alter((driver) => ({
        keepPlaces: async (places) =>
          (await driver.keepPlaces(places)).map((outcome) =>
            outcome === 'ask' ? outcome : { remaining: outcome.remaining },
          ),
      })),
  },
  {
    name: 'a heartbeat that asks in full',
    caughtBy: 'tells a waiter to ask that was granted the lease, and re-arms nothing',
    broken: () =>
      alter((driver) => ({
        keepPlaces: async (places) => {
          for (const place of places) await driver.acquire({ ...place, instance: '', metadata: {} }, 'queue');
          return driver.keepPlaces(places);
        },
      })),
  },
  {
    name: 'a heartbeat that queues',
    caughtBy: 'does not revive a cancelled waiter by a late heartbeat',
    broken: () =>
      alter((driver) => ({
        keepPlaces: async (places) => {
          const holder = (place: PlaceRef): string => `${place.holder}-again`;
          for (const place of places)
            await driver.acquire({ ...place, holder: holder(place), instance: '', metadata: {} }, 'queue');
          return driver.keepPlaces(places.map((place) => ({ ...place, holder: holder(place) })));
        },
      })),
  },
  {
    name: 'a lease that is passed on for less than it says',
    caughtBy: 'arms a lease that it passes on for as long as it says',
    broken: () => alterPassed((remaining) => remaining / 4),
  },
  {
    name: 'a lease that is passed on for longer than it says',
    caughtBy: 'arms a lease that it passes on for as long as it says',
    broken: () => alterPassed((remaining) => remaining * 4),
  },
  {
    name: 'a cancel that sends away those who wait',
    caughtBy: 'passes a lease that a cancel gives back to the next waiter',
    broken: () => {
      const waiting: Claim[] = [];
      return alter((driver) => ({
        acquire: (claim, mode) => {
          if (mode === 'queue') waiting.push(claim);
          return driver.acquire(claim, mode);
        },
        cancel: async () => {
          for (const claim of waiting.toReversed()) await driver.cancel(claim);
        },
      }));
    },
  },
  {
    name: 'a release that prefers nobody',
    caughtBy: 'passes a lease to the waiting instance that a release names, and then in order again',
    broken: () => alter((driver) => ({ release: (lease) => driver.release(lease) })),
  },
  {
    name: 'a release that takes the lease from whoever has it, for the one it prefers',
    caughtBy: 'passes a lease to the waiting instance that a release names, and then in order again',
    broken: () =>
      alter((driver) => ({
        release: async (lease, to) => {
          const holder = to === undefined ? lease.holder : (await driver.inspect(lease.key))!.holder;
          return driver.release({ ...lease, holder }, to);
        },
      })),
  },
  {
    name: 'a release that passes the lease to the one it prefers, or to nobody',
    caughtBy: 'passes a lease in order when the instance that a release names does not wait',
    broken: () =>
      alterRelease(async (driver, lease, to, waiting) => {
        if (!waiting.some(({ instance }) => instance === to)) for (const claim of waiting) await driver.cancel(claim);
        return driver.release(lease, to);
      }),
  },
  {
    name: 'a release that prefers the dead',
    caughtBy: 'passes a lease in order when the instance that a release names is no longer heard of',
    broken: () =>
      alterRelease(async (driver, lease, to, waiting) => {
        for (const claim of waiting) if (claim.instance === to) await driver.acquire(claim, 'queue');
        return driver.release(lease, to);
      }),
  },
  {
    name: 'a release that knows the first waiter of each instance only',
    caughtBy: 'passes a lease to a living waiter of the instance that a release names, not to an earlier dead one',
    broken: () =>
      alterRelease(async (driver, lease, to, waiting) => {
        const [, ...later] = waiting.filter(({ instance }) => instance === to);
        return driver.release(lease, later.length > 0 ? undefined : to);
      }),
  },
  ...(
    [
      ['of no length', { ttl: 0 }],
      ['without an end', { ttl: Infinity }],
      ['without tokens', { tokens: 0 }],
      ['with half a token', { fencingToken: 0.5 }],
      ['with an unknown number of waiters', { waiters: NaN }],
    ] as const
  ).map(([what, lie]) => ({
    name: `a push of a grant ${what}`,
    caughtBy: 'tells of a lease that it passed on as the core can believe it, and as the store has it',
    broken: () => alterPush((granted) => ({ ...granted, ...lie })),
  })),
  {
    name: 'a push of another token than the store has',
    caughtBy: 'tells of a lease that it passed on as the core can believe it, and as the store has it',
    broken: () => alterPush((granted) => ({ ...granted, fencingToken: granted.fencingToken + 1 })),
  },
  {
    name: 'scopes that are cut at a brace',
    caughtBy: 'facts: keeps facts by scope and id, for everybody and whatever their characters',
    broken: () => alterFacts((facts) => ({ list: (scope) => facts.list(scope.split('}')[0]!) })),
  },
  {
    name: 'values that are trimmed',
    caughtBy: 'facts: keeps facts by scope and id, for everybody and whatever their characters',
    broken: () => alterFacts((facts) => ({ put: (scope, id, value, ttl) => facts.put(scope, id, value.trim(), ttl) })),
  },
  {
    name: 'a removal that empties the scope',
    caughtBy: 'facts: removes a fact, and nothing else',
    broken: () =>
      alterFacts((facts) => ({
        remove: async (scope) => {
          for (const id of (await facts.list(scope)).keys()) await facts.remove(scope, id);
        },
      })),
  },
  {
    name: 'a list with facts that have run out',
    caughtBy: 'facts: forgets a fact that is not refreshed in time, and only that',
    broken: () => alterFacts((facts) => ({ put: (scope, id, value) => facts.put(scope, id, value, 1e9) })),
  },
  {
    name: 'a refresh that arms nothing',
    caughtBy: 'facts: forgets a fact that is not refreshed in time, and only that',
    broken: () =>
      alterFacts((facts) => ({
        put: async (scope, id, value, ttl) => {
          if ((await facts.list(scope)).get(id) !== value) await facts.put(scope, id, value, ttl);
        },
      })),
  },
  {
    name: 'a watch that tells nothing',
    caughtBy: 'facts: tells who watches of another value and of a removal',
    broken: () => alterFacts(() => ({ watch: () => () => undefined })),
  },
  {
    name: 'a watch that hears of new values only',
    caughtBy: 'facts: tells who watches of another value and of a removal',
    broken: () =>
      alterFacts((facts) => ({
        watch(scope, changed) {
          let size = 0;
          return facts.watch(scope, () => {
            void facts.list(scope).then((listed) => {
              if (listed.size >= size) changed();
              size = listed.size;
            });
          });
        },
      })),
  },
  {
    name: 'a refresh that tells everybody',
    caughtBy: 'facts: tells nobody of a refresh, of another scope, or of what was not there',
    broken: () =>
      alterFacts((facts) => ({
        put: async (scope, id, value, ttl) => {
          await facts.remove(scope, id);
          await facts.put(scope, id, value, ttl);
        },
      })),
  },
  {
    name: 'a watch that never ends',
    caughtBy: 'facts: tells nothing after the watch has ended, and goes on for the others',
    broken: () =>
      alterFacts((facts) => ({
        watch(scope, changed) {
          facts.watch(scope, changed);
          return () => undefined;
        },
      })),
  },
  {
    name: 'a number that goes back',
    caughtBy: 'facts: moves a number forward only',
    broken: () => alterAdvance((before, to) => before?.at !== to),
  },
  {
    name: 'a number that has lost its last digits',
    caughtBy: 'facts: moves a number forward only',
    broken: () =>
      alterFacts((facts) => ({
        advance: (scope, id, to, by, ttl) => facts.advance(scope, id, Number(to.toPrecision(14)), by, ttl),
      })),
  },
  {
    name: 'a move that forgets who made it',
    caughtBy: 'facts: answers a repeated move as before, for the one who made it',
    broken: () =>
      alterFacts((facts) => ({
        advance: (scope, id, to, _by, ttl) => facts.advance(scope, id, to, `${Math.random()}`, ttl),
      })),
  },
  {
    name: 'a move that asks nobody who made the last',
    caughtBy: 'facts: answers a repeated move as before, for the one who made it',
    broken: () => alterAdvance((before, to) => to >= (before?.at ?? 0)),
  },
  {
    name: 'numbers whose names are joined',
    caughtBy: 'facts: keeps numbers apart by scope and id, whatever their characters',
    broken: () =>
      alterFacts((facts) => ({
        advance: (scope, id, to, by, ttl) => facts.advance('', scope + id, to, by, ttl),
      })),
  },
  {
    name: 'a move in two steps',
    caughtBy: 'facts: lets exactly one of many move a number that all move at once',
    broken: () => alterAdvance((before, to) => to > (before?.at ?? 0)),
  },
  {
    name: 'a number that is never forgotten',
    caughtBy: 'facts: forgets a number some time after its last move',
    broken: () =>
      alterFacts((facts) => ({
        advance: (scope, id, to, by) => facts.advance(scope, id, to, by, 1e9),
      })),
  },
  {
    name: 'a number that is forgotten some time after its first move',
    caughtBy: 'facts: forgets a number some time after its last move',
    broken: () => {
      const armed = new Set<string>();
      return alterFacts((facts) => ({
        advance: (scope, id, to, by, ttl) => {
          const first = !armed.has(id);
          armed.add(id);
          return facts.advance(scope, id, to, by, first ? ttl : 1);
        },
      }));
    },
  },
  {
    name: 'an empty list from a closed driver',
    caughtBy: 'facts: says that nothing was sent once the driver is closed',
    broken: () => alterFacts(() => ({ list: async () => new Map() })),
  },
];

function override<T extends object>(original: T, changes: Partial<T>): T {
  return new Proxy(original, {
    get(target, property) {
      const name = property as keyof T;
      const value = changes[name] ?? target[name];
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** A memory driver of which some methods are replaced. */
function alter(changes: (driver: MemoryDriver) => Partial<LockDriver>): LockDriver {
  const driver = new MemoryDriver();
  return override<LockDriver>(driver, changes(driver));
}

function alterPush(change: (granted: PushedGrant) => PushedGrant): LockDriver {
  return alter((driver) => ({
    connect: (listener) => driver.connect((event) => listener(event.type === 'granted' ? change(event) : event)),
  }));
}

/** With a release that knows who asked to wait. */
function alterRelease(
  release: (driver: LockDriver, lease: LeaseRef, to: string | undefined, waiting: Claim[]) => Promise<boolean>,
): LockDriver {
  const waiting: Claim[] = [];
  return alter((driver) => ({
    acquire: (claim, mode) => {
      if (mode === 'queue') waiting.push(claim);
      return driver.acquire(claim, mode);
    },
    release: (lease, to) => release(driver, lease, to, waiting),
  }));
}

function alterFacts(changes: (facts: FactStore) => Partial<FactStore>): LockDriver {
  return alter((driver) => ({ facts: override(driver.facts, changes(driver.facts)) }));
}

/** Reads the number, decides, and writes it in a later step. */
function alterAdvance(isMine: (before: { at: number; by: string } | undefined, to: number) => boolean): LockDriver {
  const numbers = new Map<string, { at: number; by: string }>();
  return alterFacts(() => ({
    async advance(scope, id, to, by) {
      const key = JSON.stringify([scope, id]);
      const before = numbers.get(key);
      await setImmediate();
      if (!isMine(before, to)) return before?.at === to && before.by === by ? 'mine' : 'taken';
      numbers.set(key, { at: to, by });
      return 'mine';
    },
  }));
}

/** What is left of a lease by what the store says, which is where the truth is. */
function alterPassed(remaining: (remaining: number) => number): LockDriver {
  return alter((driver) => ({
    inspect: async (key) => {
      const record = await driver.inspect(key);
      return record && { ...record, remaining: remaining(record.remaining) };
    },
  }));
}

function alterGrant(token: (token: number) => number): LockDriver {
  return alter((driver) => ({
    acquire: async (claim, mode) => {
      const answer = await driver.acquire(claim, mode);
      return answer.status === 'granted' ? { ...answer, fencingToken: token(answer.fencingToken) } : answer;
    },
  }));
}

describe('the contract catches', () => {
  // Most are caught by what does not happen in time: all wait for that together.
  it.concurrent.each(controls)('$name', async ({ caughtBy, broken, shortTtl = 100 }) => {
    const driver = broken();
    const contract = driverContract({ create: () => driver, longTtl: 5000, shortTtl });
    const { run } = contract.find(({ name }) => name === caughtBy)!;
    await expect(run()).rejects.toThrow();
  });
});
