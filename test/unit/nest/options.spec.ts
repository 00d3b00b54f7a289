import { Injectable } from '@nestjs/common';
import {
  type AcquireOptions,
  DistLockModule,
  type DistLockModuleOptions,
  type DriverCapabilities,
  LeaderElections,
  LockConfigError,
  type LockDriver,
  LockNotAcquiredError,
  LockService,
  WithLock,
} from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LockManager } from '../../../lib/locks/lock-manager.js';
import { resolveOptions } from '../../../lib/nest/resolve-options.js';
import { compile, compileBare, leading, start, startError } from '../../support/nest/app.js';

/** With a shortest TTL of 100 ms. Never connected here. */
function redis(): RedisDriver {
  return new RedisDriver({ url: 'redis://127.0.0.1:1' });
}

async function problemOf(options: unknown): Promise<string> {
  const error = await startError(compileBare({ imports: [DistLockModule.forRoot(options as DistLockModuleOptions)] }));
  expect(error).toBeInstanceOf(LockConfigError);
  return error.message;
}

const NOT_A_DURATION =
  "is not a duration. Use milliseconds (5000) or a string with a unit: '500ms', '30s', '2m', '1h', '1d'.";
const OUT_OF_RANGE = 'is out of range. Use more than 0 and at most 24 days.';

const DURATIONS: [path: string, options: (value: unknown) => object][] = [
  ['lock.ttl', (ttl) => ({ lock: { ttl } })],
  ['lock.wait', (wait) => ({ lock: { wait } })],
  ['shutdown.grace', (grace) => ({ shutdown: { grace } })],
  ['elections[0].leaseDuration', (leaseDuration) => ({ elections: [{ leaseDuration }] })],
  ['elections[0].renewDeadline', (renewDeadline) => ({ elections: [{ renewDeadline }] })],
  ['elections[0].retryPeriod', (retryPeriod) => ({ elections: [{ retryPeriod }] })],
];

afterEach(() => {
  vi.unstubAllEnvs();
});

describe.each(DURATIONS)('%s', (path, options) => {
  it.each(['5x', '', '10', 'forever ', '-5s', '1e3s', true, null, {}])('is not %o', async (value) => {
    expect(await problemOf(options(value))).toContain(
      `DistLockModule.forRoot(): ${path}: ${JSON.stringify(value)} ${NOT_A_DURATION}`,
    );
  });

  it.each([Number.NaN, Infinity])('is not %d', async (value) => {
    expect(await problemOf(options(value))).toMatch(
      new RegExp(`${path.replaceAll(/[[\].]/g, '\\$&')}: \\S+ is not a duration`),
    );
  });

  it.each([-1, '0s', '25d', 24 * 24 * 3_600_000 + 1])('is not %o', async (value) => {
    expect(await problemOf(options(value))).toContain(
      `DistLockModule.forRoot(): ${path}: ${JSON.stringify(value)} ${OUT_OF_RANGE}`,
    );
  });
});

describe('an option of forRoot() is refused at start', () => {
  it.each<[unknown, string]>([
    [
      { diver: 'redis' },
      'diver: unknown option. Known: driver, allowMemoryInProduction, failFast, namespace, observeOnly, instance, lock, elections, shutdown.',
    ],
    [
      { lock: { timeout: 5 } },
      'lock.timeout: unknown option. Known: ttl, wait, warnAfter, maxWaiting, maxWaitingPerKey.',
    ],
    [{ instance: { name: 'a' } }, 'instance.name: unknown option. Known: id, url, allowedUrls, metadata.'],
    [{ shutdown: { timeout: 5 } }, 'shutdown.timeout: unknown option. Known: grace.'],
    [
      { elections: [{ ttl: 5 }] },
      'elections[0].ttl: unknown option. Known: name, namespace, leaseDuration, renewDeadline, retryPeriod, autoCampaign, releaseOnShutdown, priority.',
    ],
    [{ lock: 'fast' }, 'lock: expected an object.'],
    [{ lock: null }, 'lock: expected an object.'],
    [{ instance: [] }, 'instance: expected an object.'],
    [{ shutdown: 5 }, 'shutdown: expected an object.'],
    [{ elections: [5] }, 'elections[0]: expected an object.'],
    [{ elections: {} }, "elections: expected an array, such as [{ name: 'reports' }]."],
    [{ elections: [{}, {}] }, 'elections[1].name: "default" is taken. Give each election a name of its own.'],
    [{ elections: [{}, { name: 'a', namespace: 'x' }, { name: 'a' }] }, 'elections[2].name: "a" is taken.'],
    [{ elections: [{ name: 'a:b' }] }, `elections[0].name: "a:b" may hold letters, digits, '_', '.' and '-' only.`],
    [{ elections: [{}, { name: '' }] }, 'elections[1].name: "" may hold'],
    [{ elections: [{ name: 5 }] }, 'elections[0].name: 5 may hold'],
    [{ elections: [{ namespace: 'a b' }] }, 'elections[0].namespace: "a b" may hold'],
    [{ elections: [{ priority: 1.5 }] }, 'elections[0].priority: expected an integer.'],
    [{ elections: [{ priority: '1' }] }, 'elections[0].priority: expected an integer.'],
    [
      { elections: [{}, { name: 'b', leaseDuration: '10s', renewDeadline: '9.9s' }] },
      'elections[1]: renewDeadline (9900 ms) must be at most 9798 ms',
    ],
    [
      { elections: [{}, { name: 'b', renewDeadline: 'soon' }] },
      'elections[1].renewDeadline: "soon" is not a duration.',
    ],
    [{ elections: [{ autoCampaign: 1 }] }, 'elections[0].autoCampaign: expected a boolean.'],
    [{ elections: [{ releaseOnShutdown: 'no' }] }, 'elections[0].releaseOnShutdown: expected a boolean.'],
    [{ driver: {} }, 'driver: expected a driver, such as new RedisDriver({ url }).'],
    [{ driver: null }, 'driver: expected a driver, such as new RedisDriver({ url }).'],
    [{ driver: 'redis' }, 'driver: expected a driver, such as new RedisDriver({ url }).'],
    [{ driver: RedisDriver }, 'driver: expected a driver, such as new RedisDriver({ url }).'],
    [{ observeOnly: 'yes' }, 'observeOnly: expected a boolean.'],
    [{ failFast: 'yes' }, 'failFast: expected a boolean.'],
    [{ allowMemoryInProduction: 1 }, 'allowMemoryInProduction: expected a boolean.'],
    [{ namespace: 'a:b' }, `namespace: "a:b" may hold letters, digits, '_', '.' and '-' only.`],
    [{ namespace: '' }, 'namespace: "" may hold'],
    [{ namespace: 5 }, 'namespace: 5 may hold'],
    [{ instance: { id: 5 } }, 'instance.id: expected a string.'],
    ...['', 'pod 1', 'pod\n1', 'Zürich'].map((text): [unknown, string] => [
      { instance: { id: text } },
      'instance.id: must be visible ASCII characters.',
    ]),
    [{ instance: { url: 'http://zürich' } }, 'instance.url: must be visible ASCII characters'],
    [{ instance: { url: new URL('http://a') } }, 'instance.url: expected a string.'],
    ...['http://me@a', 'https://me:secret@a:3000/x', 'http://:secret@a'].map((url): [unknown, string] => [
      { instance: { url } },
      'instance.url: must hold no user name or password, since clients see it.',
    ]),
    [
      { instance: { allowedUrls: 'http://a' } },
      "instance.allowedUrls: expected a list such as ['http://localhost:*'].",
    ],
    ...[
      5,
      '',
      'a',
      'a:3000',
      'ftp://a',
      'http://*',
      'http://a/b',
      'http://u@a',
      'http://a:x',
      'http://a?b',
      'http://a*b',
    ].map((text): [unknown, string] => [
      { instance: { allowedUrls: ['http://a', text] } },
      'instance.allowedUrls[1]: expected scheme, host and port, such as',
    ]),
    [{ instance: { metadata: { port: 80 } } }, 'instance.metadata: expected an object whose values are strings.'],
    [{ instance: { metadata: 'a' } }, 'instance.metadata: expected an object whose values are strings.'],
    [{ lock: { warnAfter: 'soon' } }, 'lock.warnAfter: "soon" is not a duration.'],
    [{ lock: { warnAfter: 0 } }, 'lock.warnAfter: 0 is out of range.'],
    [{ lock: { maxWaiting: 0 } }, 'lock.maxWaiting: expected a whole number above 0.'],
    [{ lock: { maxWaiting: '10' } }, 'lock.maxWaiting: expected a whole number above 0.'],
    [{ lock: { maxWaitingPerKey: 1.5 } }, 'lock.maxWaitingPerKey: expected a whole number above 0.'],
    [
      { instance: { metadata: { a: 'x'.repeat(5000) } } },
      'instance.metadata: 5008 bytes as JSON are more than the 4096',
    ],
    [{ lock: { wait: 0 } }, 'lock.wait: 0 is no time to wait; use tryAcquire() or { attempts: 1 } for a single try.'],
  ])('%o', async (options, text) => {
    expect(await problemOf(options)).toContain(`DistLockModule.forRoot(): ${text}`);
  });

  it('together with all the others', async () => {
    const message = await problemOf({ lock: { ttl: '5x' }, failFast: 'yes', instance: { id: '' }, drivr: 1 });
    for (const option of ['lock.ttl', 'failFast', 'instance.id', 'drivr']) expect(message).toContain(` ${option}: `);
  });

  it('when it is under the minimum TTL of the driver', async () => {
    expect(await problemOf({ driver: redis(), lock: { ttl: 99 } })).toContain(
      'lock.ttl: 99 ms is under the minimum of 100 ms. Set a longer one.',
    );
    expect(await problemOf({ driver: redis(), elections: [{ leaseDuration: '50ms' }] })).toContain(
      'elections[0].leaseDuration: 50 ms is under the minimum of 100 ms. Set a longer one.',
    );
  });

  it('and so is a @WithLock with a TTL under that minimum, before its first call', async () => {
    @Injectable()
    class Jobs {
      @WithLock('k', { ttl: '19ms' })
      async run(): Promise<void> {}
    }
    expect(await startError(compile({ providers: [Jobs] }))).toEqual(
      new LockConfigError('@WithLock on Jobs.run: ttl: 19 ms is under the minimum of 20 ms. Set a longer one.'),
    );
  });

  describe('when it is over the maximum TTL of the driver', () => {
    const driver = new RedisDriver({ url: 'redis://127.0.0.1:1', failoverQuarantine: '10s' });
    const over = (ttl: number): string =>
      `${ttl} ms is over the maximum of 10000 ms, which the driver sets. Set a shorter one, or raise the maximum ` +
      '(of RedisDriver: failoverQuarantine).';

    class Limited extends MemoryDriver {
      override readonly capabilities: DriverCapabilities = { ...new MemoryDriver().capabilities, maxTtl: 10_000 };
    }

    it.each<[DistLockModuleOptions, string]>([
      [{ elections: [] }, `lock.ttl: ${over(15_000)}`],
      [{ lock: { ttl: 10_001 }, elections: [] }, `lock.ttl: ${over(10_001)}`],
      [{ lock: { ttl: '10s' } }, `elections[0].leaseDuration: ${over(15_000)}`],
      [{ lock: { ttl: '10s' }, elections: [{ leaseDuration: 10_001 }] }, `elections[0].leaseDuration: ${over(10_001)}`],
    ])('%o', async (options, text) => {
      expect(await problemOf({ driver, namespace: 'billing', ...options })).toBe(`DistLockModule.forRoot(): ${text}`);
    });

    const fitting = (): DistLockModuleOptions => ({
      driver: new Limited(),
      lock: { ttl: '10s' },
      elections: [{ leaseDuration: '10s' }],
    });

    it('as that of a call, or of an election that is created', async () => {
      const app = await start({ locks: fitting() });
      const locks = app.get(LockService);
      await (await locks.acquire('k', { ttl: '10s' })).release();
      await expect(locks.acquire('k', { ttl: 10_001 })).rejects.toThrow(
        new LockConfigError(`Lock "k": ttl: ${over(10_001)}`),
      );
      expect(() => app.get(LeaderElections).create({ name: 'tenant-5' })).toThrow(
        new LockConfigError(`LeaderElections.create(): leaseDuration: ${over(15_000)}`),
      );
    });

    it('as that of a @WithLock', async () => {
      @Injectable()
      class Jobs {
        @WithLock('k', { ttl: '11s' })
        async run(): Promise<void> {}
      }
      expect(await startError(compile({ locks: fitting(), providers: [Jobs] }))).toEqual(
        new LockConfigError(`@WithLock on Jobs.run: ttl: ${over(11_000)}`),
      );
    });
  });

  it('but valid ones are not', async () => {
    const options: Required<DistLockModuleOptions> = {
      driver: new MemoryDriver(),
      allowMemoryInProduction: false,
      failFast: true,
      namespace: 'billing.v2_eu-1',
      observeOnly: false,
      instance: { id: 'pod-1', url: 'http://10.0.0.1:3000', metadata: { zone: 'a' } },
      lock: { ttl: '24d', wait: 'forever' },
      elections: [
        {
          name: 'default',
          namespace: 'billing.v3',
          priority: -1,
          leaseDuration: '1.5s',
          renewDeadline: 1000,
          retryPeriod: '200ms',
          autoCampaign: true,
          releaseOnShutdown: true,
        },
      ],
      shutdown: { grace: '2s' },
    };
    const app = await start({ locks: options });
    const leader = await leading(app);
    expect(leader.state.leader).toMatchObject({ id: 'pod-1', url: 'http://10.0.0.1:3000', metadata: { zone: 'a' } });
  });
});

describe('the timings of an election', () => {
  it.each<[object, string]>([
    [
      { leaseDuration: '10s', renewDeadline: '9.9s' },
      'elections[0]: renewDeadline (9900 ms) must be at most 9798 ms with a leaseDuration of 10000 ms, so that a leader stops before its lease can end.',
    ],
    [
      { renewDeadline: '2s', retryPeriod: '2s' },
      'elections[0]: renewDeadline (2000 ms) must be more than 1.2 × retryPeriod (2000 ms), so that a renewal can be tried again.',
    ],
    [{ renewDeadline: '1.2s', retryPeriod: '1s' }, 'must be more than 1.2 × retryPeriod (1000 ms)'],
    [
      { leaseDuration: '200ms' },
      'elections[0]: renewDeadline (133 ms) must be at most 96 ms with a leaseDuration of 200 ms',
    ],
  ])('%o cannot be kept', async (election, text) => {
    expect(await problemOf({ elections: [election] })).toContain(text);
  });

  it.each([
    { leaseDuration: '10s', renewDeadline: 9798 },
    { renewDeadline: 1201, retryPeriod: '1s' },
    { leaseDuration: '1s' },
    { leaseDuration: '1h' },
    { leaseDuration: '24d' },
  ])('%o can', async (election) => {
    await leading(await start({ locks: { elections: [election] } }));
  });
});

describe('the namespace', () => {
  const DRIVERS: [name: string, driver: () => LockDriver][] = [
    ['Redis', redis],
    ['Redlock', () => new RedlockDriver({ servers: [1, 2, 3].map((port) => `redis://127.0.0.1:${port}`) })],
    ['etcd', () => new EtcdDriver({ hosts: ['127.0.0.1:1'] })],
    [
      'somebody',
      () =>
        Object.assign(new MemoryDriver(), { capabilities: { ...new MemoryDriver().capabilities, scope: 'server' } }),
    ],
  ];

  it.each(DRIVERS)('is required with the driver of %s', async (_name, driver) => {
    expect(await problemOf({ driver: driver() })).toBe(
      "DistLockModule.forRoot(): namespace: give the application a name, such as namespace: 'billing'. Its replicas " +
        'share it; another application on the same store with the same name would share its locks and its leader.',
    );
    // That of each election is not enough: locks have none.
    expect(await problemOf({ driver: driver(), elections: [{ namespace: 'billing' }] })).toContain(' namespace: give');
  });

  it.each(DRIVERS)('is all that is required with the driver of %s', async (_name, driver) => {
    const given = driver();
    expect(resolveOptions({ driver: given, namespace: 'billing' })).toMatchObject({
      driver: given,
      lock: { namespace: 'billing' },
    });
  });

  it('may be left out where nobody shares the store', () => {
    expect(resolveOptions({}).lock.namespace).toBe('dist-lock');
  });
});

describe('the defaults', () => {
  it('fit together: a call waits for longer than the lease of a holder that died lasts', async () => {
    const driver = new MemoryDriver();
    await driver.connect(() => undefined);
    const claim = { key: 'dist-lock:l:k', holder: 'h', instance: 'died', ttl: 1500, metadata: {} };
    expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
    const app = await start({ locks: { driver, lock: { ttl: 1500 } } });
    const locks = app.get(LockService);
    // Control: what waits for less is told how long the lease lasts.
    const error = await locks.acquire('k', { wait: 300 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LockNotAcquiredError);
    const { remaining, message } = error as LockNotAcquiredError;
    expect(remaining).toBeGreaterThan(0);
    expect(remaining).toBeLessThanOrEqual(1200);
    expect(message).toContain(`its lease lasts for ${Math.round(remaining!)} ms more`);
    await (await locks.acquire('k')).release();
  });

  it.each<[string, DistLockModuleOptions['lock'], AcquireOptions, wait: number]>([
    ['no options', {}, {}, 20_000],
    ['a TTL of the module', { ttl: '1m' }, {}, 65_000],
    ['a TTL of the call', {}, { ttl: '2m' }, 125_000],
    ['a wait of the module', { wait: '3s' }, { ttl: '2m' }, 3000],
    ['a wait of the call', { wait: '3s' }, { wait: '4s' }, 4000],
    ['for ever', { wait: 'forever' }, {}, Infinity],
  ])('with %s wait for so long', async (_what, lock, options, wait) => {
    const app = await start({ locks: { lock: lock ?? {} } });
    const acquire = vi.spyOn(LockManager.prototype, 'acquire');
    await (await app.get(LockService).acquire('k', options)).release();
    expect(acquire.mock.lastCall![0].limit).toEqual({ wait });
    acquire.mockRestore();
  });
});

describe('the memory driver under NODE_ENV=production', () => {
  const REFUSAL =
    'DistLockModule.forRoot(): driver: the memory driver excludes only within one process, which is rarely meant when ' +
    'NODE_ENV is production. Pass a driver such as new RedisDriver({ url }), or allowMemoryInProduction: true.';

  it.each<[string, () => DistLockModuleOptions]>([
    ['by default', () => ({})],
    ['by name', () => ({ driver: new MemoryDriver() })],
    ['against the options', () => ({ allowMemoryInProduction: false })],
  ])('is refused where it is used %s', async (_how, options) => {
    vi.stubEnv('NODE_ENV', 'production');
    expect(await problemOf(options())).toBe(REFUSAL);
  });

  it('is accepted when the options say so', async () => {
    vi.stubEnv('NODE_ENV', 'production');
    await expect(start({ locks: { allowMemoryInProduction: true } })).resolves.toBeDefined();
  });

  it('is accepted in other environments', async () => {
    vi.stubEnv('NODE_ENV', 'staging');
    await expect(start({})).resolves.toBeDefined();
  });
});

describe('a key', () => {
  async function acquire(key: unknown): Promise<void> {
    const app = await start({});
    await using lock = await app.get(LockService).acquire(key as string);
    expect(lock.held).toBe(true);
  }

  it('has 500 characters at most', async () => {
    await acquire('k'.repeat(500));
    await expect(acquire('k'.repeat(501))).rejects.toThrow(
      `Lock key "${'k'.repeat(40)}…" has 501 characters; at most 500 are allowed. Hash the long part.`,
    );
  });

  it.each(['', 5, undefined, null])('is not %o', async (key) => {
    await expect(acquire(key)).rejects.toThrow('A lock key must be a string that is not empty.');
  });

  it('holds no half of a surrogate pair', async () => {
    await expect(acquire('a\ud800')).rejects.toThrow(/^Lock key "a\\ud800" holds half a surrogate pair/);
  });

  it.each(['k'.repeat(501), 'a\ud800'])('of a @WithLock neither', async (key) => {
    @Injectable()
    class Jobs {
      @WithLock((id: string) => id)
      async run(_id: string): Promise<void> {}
    }
    const app = await start({ providers: [Jobs] });
    await expect(app.get(Jobs).run(key)).rejects.toMatchObject({ code: 'LOCK_KEY' });
  });
});
