import type { Claim, LeaseRef, LockDriver } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { driverContract } from 'nestjs-dist-lock/testing';
import { describe, expect, it } from 'vitest';

/** Drivers that break one promise each, and the case that has to notice. */
const controls: { name: string; caughtBy: string; broken: () => LockDriver }[] = [
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
    name: 'a lease that ends early',
    caughtBy: 'ends a lease that is not renewed',
    broken: () =>
      alter((driver) => ({ acquire: (claim, mode) => driver.acquire({ ...claim, ttl: claim.ttl / 2 }, mode) })),
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
];

/** A memory driver of which some methods are replaced. */
function alter(changes: (driver: MemoryDriver) => Partial<LockDriver>): LockDriver {
  const driver = new MemoryDriver();
  const changed = changes(driver);
  return new Proxy<LockDriver>(driver, {
    get(target, name: keyof LockDriver) {
      const value = changed[name] ?? target[name];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
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
  it.each(controls)('$name', async ({ caughtBy, broken }) => {
    const driver = broken();
    const contract = driverContract({ create: () => driver, longTtl: 5000, shortTtl: 100 });
    const { run } = contract.find(({ name }) => name === caughtBy)!;
    await expect(run()).rejects.toThrow();
  });
});
