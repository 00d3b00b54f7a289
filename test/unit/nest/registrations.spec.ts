import { Controller, Get, Injectable, Module, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  currentLock,
  DistLockModule,
  type DistLockModuleOptions,
  InjectLockService,
  LeaderOnly,
  LeaderService,
  type Lock,
  LockConfigError,
  LockService,
  WithLock,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { describe, expect, it, vi } from 'vitest';
import { closing, compileBare, knownLeader, leading, start, startError, startLeader } from '../../support/nest/app.js';

@Injectable()
class Orders {
  @WithLock('order:{0}')
  async charge(id: string): Promise<string> {
    return `charged ${id}`;
  }
}

@Injectable()
class Reports {
  @LeaderOnly({ otherwise: 'skip' })
  async build(): Promise<string | undefined> {
    return 'built';
  }
}

/** Says which of two registrations somebody used, by a lock that is held in one of them. */
async function isHeldIn(locks: LockService, key: string): Promise<boolean> {
  return (await locks.describe(key)) !== null;
}

describe('DistLockModule.forRoot()', () => {
  it('needs no options for one process', async () => {
    const app = await compileBare({ imports: [DistLockModule.forRoot()], providers: [Orders, Reports] });
    await app.init();
    await leading(app);
    expect(await app.get(Orders).charge('1')).toBe('charged 1');
    expect(await app.get(Reports).build()).toBe('built');
  });

  it('is global: a module that does not import it gets its services', async () => {
    @Injectable()
    class Client {
      constructor(
        readonly locks: LockService,
        readonly leader: LeaderService,
        @InjectLockService() readonly same: LockService,
      ) {}
    }
    @Module({ providers: [Client] })
    class Feature {}
    const app = await start({ imports: [Feature] });
    const client = app.get(Client, { strict: false });
    expect(client.locks).toBe(app.get(LockService));
    expect(client.same).toBe(client.locks);
    expect(client.leader).toBe(app.get(LeaderService));
  });

  it('with isGlobal: false serves the modules that import it, and no other', async () => {
    @Module({ imports: [DistLockModule.forRoot({ isGlobal: false })], exports: [DistLockModule] })
    class Locks {}
    @Module({ imports: [Locks], providers: [Orders] })
    class Feature {}
    @Module({ providers: [Reports] })
    class Outsider {}
    const app = await compileBare({ imports: [Feature] });
    await app.init();
    expect(await app.get(Orders, { strict: false }).charge('1')).toBe('charged 1');

    const error = await startError(compileBare({ imports: [Feature, Outsider] }));
    expect(error.message).toMatch(/can't resolve dependencies of the Reports[^]*LeaderService[^]*Outsider/);
  });
});

describe('DistLockModule.forRootAsync()', () => {
  const NAMESPACE = 'async';

  @Injectable()
  class Config {
    readonly driver = new MemoryDriver();
    createDistLockOptions(): DistLockModuleOptions {
      return { driver: this.driver, namespace: NAMESPACE };
    }
  }
  @Module({ providers: [Config], exports: [Config] })
  class ConfigModule {}

  type AsyncOptions = Parameters<typeof DistLockModule.forRootAsync>[0];

  /** Asserts that the options of a `Config` are in use: its driver keeps the lock, in its namespace. */
  async function expectConfig(options: AsyncOptions, config?: Config): Promise<void> {
    const app = await compileBare({ imports: [DistLockModule.forRootAsync(options)], providers: [Orders] });
    await app.init();
    const { driver } = config ?? app.get<Config>(Config, { strict: false });
    await using lock = await app.get(LockService).acquire('k');
    expect(await driver.inspect(`${NAMESPACE}:l:k`)).toMatchObject({ holder: lock.holder });
    expect(await app.get(Orders).charge('1')).toBe('charged 1');
  }

  it('useFactory, with inject and imports', () =>
    expectConfig({
      imports: [ConfigModule],
      inject: [Config],
      useFactory: async (config: Config) => config.createDistLockOptions(),
    }));

  it('useFactory alone', () => {
    const config = new Config();
    return expectConfig({ useFactory: () => config.createDistLockOptions() }, config);
  });

  it('useClass', () => expectConfig({ useClass: Config }));

  it('useExisting, with imports', () => expectConfig({ imports: [ConfigModule], useExisting: Config }));

  it('with a name and isGlobal', async () => {
    @Injectable()
    class Client {
      constructor(@InjectLockService('orders') readonly locks: LockService) {}
    }
    @Module({
      imports: [DistLockModule.forRootAsync({ name: 'orders', isGlobal: false, useClass: Config })],
      providers: [Client],
    })
    class Feature {}
    @Module({ providers: [Client] })
    class Outsider {}
    const app = await compileBare({ imports: [Feature] });
    await app.init();
    expect(app.get(Client, { strict: false }).locks).toBeInstanceOf(LockService);
    const error = await startError(compileBare({ imports: [Feature, Outsider] }));
    expect(error.message).toMatch(/LockService\(orders\)[^]*Outsider/);
  });

  it('does not start when the factory fails, with its error', async () => {
    const failed = new Error('no configuration');
    expect(
      await startError(
        compileBare({ imports: [DistLockModule.forRootAsync({ useFactory: () => Promise.reject(failed) })] }),
      ),
    ).toBe(failed);
  });

  it('refuses what the factory returned as forRoot() would', async () => {
    const useFactory = (): DistLockModuleOptions => ({ lock: { ttl: '5x' } });
    const error = await startError(compileBare({ imports: [DistLockModule.forRootAsync({ useFactory })] }));
    expect(error).toBeInstanceOf(LockConfigError);
    expect(error.message).toMatch(/^DistLockModule\.forRoot\(\): lock\.ttl: "5x" is not a duration/);
  });
});

describe('named registrations', () => {
  @Injectable()
  class Both {
    constructor(
      readonly byClass: LockService,
      @InjectLockService() readonly unnamed: LockService,
      @InjectLockService('orders') readonly orders: LockService,
    ) {}

    @WithLock('k')
    async inDefault(): Promise<boolean[]> {
      return [await isHeldIn(this.unnamed, 'k'), await isHeldIn(this.orders, 'k')];
    }

    @WithLock('k', { registration: 'orders' })
    async inOrders(): Promise<boolean[]> {
      return [await isHeldIn(this.unnamed, 'k'), await isHeldIn(this.orders, 'k')];
    }

    @WithLock('k')
    async inBoth(): Promise<boolean[]> {
      return this.inOrders();
    }

    @LeaderOnly({ otherwise: 'skip' })
    async leadsDefault(): Promise<boolean | undefined> {
      return true;
    }

    @LeaderOnly({ registration: 'orders', otherwise: 'skip' })
    async leadsOrders(): Promise<boolean | undefined> {
      return true;
    }
  }

  it('stand side by side, each with its own driver', async () => {
    const app = await start({ imports: [DistLockModule.forRoot({ name: 'orders' })], providers: [Both] });
    const both = app.get(Both);
    expect(both.byClass).toBe(both.unnamed);
    expect(both.orders).not.toBe(both.unnamed);
    expect(await both.inDefault()).toEqual([true, false]);
    expect(await both.inOrders()).toEqual([false, true]);
    expect(await both.inBoth()).toEqual([true, true]);
  });

  it('share a store and still hold different locks, where they have different namespaces', async () => {
    const driver = new MemoryDriver();
    const app = await start({
      locks: { driver, namespace: 'one' },
      imports: [DistLockModule.forRoot({ name: 'orders', driver, namespace: 'two' })],
      providers: [Both],
    });
    expect(await app.get(Both).inBoth()).toEqual([true, true]);
  });

  it('have an election each', async () => {
    const driver = new MemoryDriver();
    await startLeader(driver);
    const app = await start({
      locks: { driver },
      imports: [DistLockModule.forRoot({ name: 'orders' })],
      providers: [Both],
    });
    await knownLeader(app);
    const both = app.get(Both);
    await vi.waitUntil(async () => (await both.leadsOrders()) === true);
    expect(await both.leadsDefault()).toBeUndefined();
  });

  it('give an instance that a factory provides the services of each', async () => {
    const both: Provider = {
      provide: 'both',
      inject: [LockService, 'LockService', 'LockService(orders)'],
      useFactory: (...services: [LockService, LockService, LockService]) => new Both(...services),
    };
    const app = await start({ imports: [DistLockModule.forRoot({ name: 'orders' })], providers: [both] });
    expect(await app.get<Both>('both').inBoth()).toEqual([true, true]);
  });

  it('that nobody registered stop the application', async () => {
    const error = await startError(compileBare({ imports: [DistLockModule.forRoot()], providers: [Both] }));
    expect(error.message).toMatch(/can't resolve dependencies of the Both[^]*LockService\(orders\)/);
  });

  it.each([
    [{}, 'without a name'],
    [{ name: 'orders' }, 'with the name "orders"'],
  ])('are refused when they are imported twice: %o', async (extras, text) => {
    const imports = [DistLockModule.forRoot(extras), DistLockModule.forRoot(extras)];
    expect(await startError(compileBare({ imports }))).toEqual(
      new LockConfigError(
        `DistLockModule.forRoot() is imported 2 times ${text}. Import it once, or give each registration its own \`name\`.`,
      ),
    );
  });

  it.each([
    [{ name: '' }, 'name: must not be empty.'],
    [{ name: 5 }, 'name: expected a string.'],
    [{ isGlobal: 'yes' }, 'isGlobal: expected a boolean.'],
  ])('refuse the wrong %o', (extras, text) => {
    expect(() => DistLockModule.forRoot(extras as object)).toThrow(
      new LockConfigError(`DistLockModule.forRoot(): ${text}`),
    );
  });

  it('may be one dynamic module that several modules import', async () => {
    const locks = DistLockModule.forRoot({ isGlobal: false });
    @Module({ imports: [locks], providers: [Orders] })
    class One {}
    @Module({ imports: [locks], providers: [Reports] })
    class Two {}
    const app = await compileBare({ imports: [One, Two] });
    await expect(app.init()).resolves.toBe(app);
  });
});

describe('an application without the module does not start, and is told what to import', () => {
  @Controller()
  class Locked {
    @Get()
    @WithLock('k')
    async get(): Promise<void> {}
  }

  @LeaderOnly()
  @Controller()
  class Admin {
    @Get()
    get(): string {
      return 'admin';
    }
  }

  @LeaderOnly()
  abstract class Base {}

  @Controller()
  class AdminOfBase extends Base {
    @Get()
    get(): string {
      return 'admin';
    }
  }

  it.each([
    ['@WithLock on a provider', { providers: [Orders] }, 'Orders', 'LockService'],
    ['@WithLock on a controller', { controllers: [Locked] }, 'Locked', 'LockService'],
    ['@LeaderOnly on a method', { providers: [Reports] }, 'Reports', 'LeaderService'],
    ['@LeaderOnly on a class of routes', { controllers: [Admin] }, 'Admin', 'LeaderService'],
    ['@LeaderOnly on the class that it extends', { controllers: [AdminOfBase] }, 'AdminOfBase', 'LeaderService'],
  ])('%s', async (_what, metadata, type, service) => {
    const { message } = await startError(compileBare(metadata));
    expect(message).toMatch(new RegExp(`can't resolve dependencies of the ${type}`));
    expect(message).toContain(`${service}: import DistLockModule.forRoot() to use @WithLock() and @LeaderOnly()`);
  });

  it('while one with the module does', async () => {
    const metadata = { providers: [Orders, Reports], controllers: [Locked, Admin, AdminOfBase] };
    await expect(startError(compileBare({ imports: [DistLockModule.forRoot()], ...metadata }))).rejects.toThrow(
      'The application started.',
    );
  });
});

describe('two applications in one process', () => {
  it('use their own services in the same classes', async () => {
    const [one, two] = await Promise.all([start({ providers: [Orders] }), start({ providers: [Orders] })]);
    await using lock = await one.get(LockService).acquire('order:1');
    expect(lock.held).toBe(true);
    // In the first it would wait.
    expect(await two.get(Orders).charge('1')).toBe('charged 1');
  });

  it('never take the lock of the other for their own: a call chain through both needs both', async () => {
    const driver = new MemoryDriver();
    const [one, two] = await Promise.all(
      ['one', 'two'].map((namespace) => start({ locks: { driver, namespace }, providers: [Orders] })),
    );
    await one!.get(LockService).withLock('order:1', async (outer) => {
      await two!.get(LockService).withLock('order:1', async (inner) => {
        expect(inner.holder).not.toBe(outer.holder);
        expect(currentLock('order:1')).toBe(inner);
      });
    });
  });
});

describe('in tests of an application', () => {
  function mockedLocks() {
    const keys: string[] = [];
    const withLock: LockService['withLock'] = async (key, task) => {
      keys.push(key);
      return task({} as Lock);
    };
    return { keys, withLock };
  }

  it('useMocker() gives decorated methods a mock', async () => {
    const mock = mockedLocks();
    const app = closing(
      await Test.createTestingModule({ providers: [Orders] })
        .useMocker((token) => (token === 'LockService' ? mock : undefined))
        .compile(),
    );
    expect(await app.get(Orders).charge('1')).toBe('charged 1');
    expect(mock.keys).toEqual(['order:1']);
  });

  it.each([['the class', LockService] as const, ['the name', 'LockService'] as const])(
    'overrideProvider() with %s replaces what decorated methods use',
    async (_what, token) => {
      const mock = mockedLocks();
      const app = closing(
        await Test.createTestingModule({ imports: [DistLockModule.forRoot()], providers: [Orders] })
          .overrideProvider(token)
          .useValue(mock)
          .compile(),
      );
      expect(await app.get(Orders).charge('1')).toBe('charged 1');
      expect(mock.keys).toEqual(['order:1']);
    },
  );

  it('overrideProvider(LeaderService) makes a leader, also for an instance that a value provides', async () => {
    const driver = new MemoryDriver();
    await startLeader(driver);
    const leader: Pick<LeaderService, 'isLeader' | 'runAsLeader'> = {
      isLeader: () => true,
      runAsLeader: (work) => work({ number: 1, election: 'default', signal: new AbortController().signal }),
    };
    const app = closing(
      await Test.createTestingModule({
        imports: [DistLockModule.forRoot({ driver })],
        providers: [Reports, { provide: 'value', useValue: new Reports() }],
      })
        .overrideProvider(LeaderService)
        .useValue(leader)
        .compile(),
    );
    await app.init();
    expect(await app.get(Reports).build()).toBe('built');
    expect(await app.get<Reports>('value').build()).toBe('built');
  });
});
