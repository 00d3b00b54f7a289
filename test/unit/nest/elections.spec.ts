import { Injectable } from '@nestjs/common';
import {
  DistLockModule,
  type DistLockModuleOptions,
  InjectLeader,
  InjectLeaderElections,
  LeaderElections,
  LeaderOnly,
  LeaderService,
  LockConfigError,
  LockServiceClosedError,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { compile, compileBare, leading, start, startError } from '../../support/nest/app.js';

const leads = (leader: LeaderService): Promise<boolean> => firstValueFrom(leader.isLeader$.pipe(filter(Boolean)));

@Injectable()
class Reports {
  constructor(@InjectLeader('reports') readonly leader: LeaderService) {}
}

@Injectable()
class Client {
  constructor(readonly leader: LeaderService) {}
}

// Rule S9 of docs/internals/safety.md.
describe('the elections of an application', () => {
  it('are injected by their names, and led each by itself', async () => {
    @Injectable()
    class Both {
      @InjectLeader('mails') mails!: LeaderService;
      constructor(
        readonly leader: LeaderService,
        @InjectLeader() readonly same: LeaderService,
        @InjectLeader('reports') readonly reports: LeaderService,
      ) {}
    }
    const elections = [{ name: 'reports' }, {}, { name: 'mails', autoCampaign: false }];
    const app = await start({ locks: { elections }, providers: [Both] });
    const { leader, same, reports, mails } = app.get(Both);
    expect(same).toBe(leader);
    expect(leader).toBe(app.get(LeaderService));
    expect(new Set([leader, reports, mails]).size).toBe(3);
    await Promise.all([leads(leader), leads(reports)]);
    expect(reports.assertLeader().election).toBe('reports');
    expect(mails.isLeader()).toBe(false);
    await reports.resign();
    expect(leader.isLeader()).toBe(true);
  });

  it('belong to their registration', async () => {
    @Injectable()
    class Orders {
      constructor(
        @InjectLeader('reports', 'orders') readonly reports: LeaderService,
        @InjectLeader(undefined, 'orders') readonly leader: LeaderService,
        @InjectLeaderElections('orders') readonly elections: LeaderElections,
        readonly own: LeaderElections,
      ) {}
    }
    const orders = DistLockModule.forRoot({ name: 'orders', elections: [{}, { name: 'reports' }] });
    const app = await start({ imports: [orders], providers: [Orders] });
    const { reports, leader, elections, own } = app.get(Orders);
    await Promise.all([leads(reports), leads(leader)]);
    expect(leader).not.toBe(app.get(LeaderService));
    expect(elections).not.toBe(own);
  });

  it('are led apart in each namespace', async () => {
    const driver = new MemoryDriver();
    const replica = (namespace: string) => start({ locks: { driver, elections: [{ namespace }] } });
    const apps = await Promise.all([replica('blue'), replica('green')]);
    const leaders = await Promise.all(apps.map((app) => leading(app)));
    for (const leader of leaders) expect(await leader.members()).toEqual([leader.self]);
    const third = await replica('green');
    expect((await third.get(LeaderService).members()).map(({ id }) => id)).toContain(leaders[1]!.self.id);
  });

  it('may be none', async () => {
    const app = await start({ locks: { elections: [] } });
    expect(() => app.get('LeaderService(default/reports)')).toThrow();
  });

  it('that nobody configured stop the application that injects them', async () => {
    const error = await startError(compile({ providers: [Reports] }));
    expect(error.message).toMatch(/can't resolve dependencies of the Reports[^]*LeaderService\(default\/reports\)/);
  });

  describe('without one named default', () => {
    const NO_DEFAULT = (user: string) =>
      new LockConfigError(
        `${user} uses the election named "default", which DistLockModule does not have. Name one of reports, mails, as in ` +
          "@InjectLeader('reports'), or add { name: 'default' } to `elections`.",
      );
    const locks = { elections: [{ name: 'reports' }, { name: 'mails' }] };
    @Injectable()
    class Jobs {
      @LeaderOnly()
      async run(): Promise<void> {}
    }

    it('start, where nobody asks for it', async () => {
      const app = await start({ locks, providers: [Reports] });
      await leads(app.get(Reports).leader);
    });

    it('stop the application where the class is injected', async () => {
      expect(await startError(compile({ locks, providers: [Client] }))).toEqual(NO_DEFAULT('Client'));
    });

    it('stop the application where a decorator needs it', async () => {
      expect(await startError(compile({ locks, providers: [Jobs] }))).toEqual(NO_DEFAULT('Jobs'));
    });

    it('stop the application whose elections are none', async () => {
      const error = await startError(compile({ locks: { elections: [] }, providers: [Client] }));
      expect(error.message).toMatch(/^Client uses the election named "default".*Leave out the empty `elections`\.$/);
    });
  });
});

describe('forRootAsync() with elections', () => {
  const register = (listed: string[] | undefined, elections: DistLockModuleOptions['elections']) =>
    compileBare({
      imports: [
        DistLockModule.forRootAsync({
          ...(listed ? { elections: listed } : {}),
          useFactory: () => ({ driver: new MemoryDriver(), ...(elections ? { elections } : {}) }),
        }),
      ],
      providers: listed?.includes('reports') ? [Reports] : [],
    });

  it.each<[string[] | undefined, DistLockModuleOptions['elections']]>([
    [['reports'], [{ name: 'reports' }]],
    [
      ['reports', 'default'],
      [{}, { name: 'reports' }],
    ],
    [['default'], undefined],
    [undefined, [{ name: 'default', priority: 1 }]],
    [[], []],
  ])('injects those that %o lists', async (listed, elections) => {
    const app = await (await register(listed, elections)).init();
    if (listed?.includes('reports')) await leads(app.get(Reports).leader);
    if (listed?.includes('default') ?? true) await leading(app);
  });

  const MISMATCH =
    'DistLockModule.forRootAsync(): the option `elections` beside the factory lists the names of the elections that ' +
    'the factory configures. ';
  it.each<[string[] | undefined, DistLockModuleOptions['elections'], string]>([
    [
      ['reports'],
      undefined,
      'Election "default" is configured but not listed: add it to that list. Election "reports" is listed but not ' +
        "configured: the factory has to return it. The factory configures elections: ['default'].",
    ],
    [
      undefined,
      [{}, { name: 'reports' }],
      'Election "reports" is configured but not listed: add it to that list. The factory configures elections: ' +
        "['default', 'reports'].",
    ],
  ])('refuses a list of %o for %o', async (listed, elections, text) => {
    expect(await startError(register(listed, elections))).toEqual(new LockConfigError(MISMATCH + text));
  });

  it.each([[[5]], ['reports'], [{}]])('refuses a list that is %o', (elections) => {
    expect(() => DistLockModule.forRootAsync({ elections: elections as string[], useFactory: () => ({}) })).toThrow(
      new LockConfigError(
        "DistLockModule.forRootAsync(): elections: expected an array of names, such as ['default', 'reports'].",
      ),
    );
  });
});

describe('LeaderElections', () => {
  it('takes part in an election that is named at run time, until it is stopped', async () => {
    const driver = new MemoryDriver();
    const [one, two] = await Promise.all([start({ locks: { driver } }), start({ locks: { driver } })]);
    const first = one.get(LeaderElections).create({ name: 'tenant-5' });
    await leads(first);
    const second = two.get(LeaderElections).create({ name: 'tenant-5' });
    const states = firstValueFrom(first.state$.pipe(toArray()));
    await Promise.all([first.stop(), first.stop()]);
    await leads(second);
    expect((await states).map(({ role }) => role)).toEqual(['leader', 'stepping-down', 'stopped']);
    expect(first.state).toMatchObject({ role: 'stopped', term: null });
    expect(await second.members()).toEqual([second.self]);
    await first.stop();

    const again = one.get(LeaderElections).create({ name: 'tenant-5' });
    expect(again).not.toBe(first);
    await second.stop();
    await leads(again);
  });

  it('begins with the application where it was asked before', async () => {
    @Injectable()
    class Tenants {
      readonly leader: LeaderService;
      constructor(elections: LeaderElections) {
        this.leader = elections.create({ name: 'tenant-5' });
      }
    }
    const app = await compile({ providers: [Tenants] });
    const { leader } = app.get(Tenants);
    expect(leader.state.role).toBe('follower');
    await app.init();
    await leads(leader);
  });

  it('is stopped with the application', async () => {
    const app = await start({});
    const elections = app.get(LeaderElections);
    const leader = elections.create({ name: 'tenant-5' });
    await leads(leader);
    const reason = firstValueFrom(leader.state$.pipe(filter(({ role }) => role === 'stepping-down')));
    await app.close();
    expect((await reason).reason).toBe('The application is shutting down.');
    expect(leader.state.role).toBe('stopped');
    expect(() => elections.create({ name: 'tenant-6' })).toThrow(LockServiceClosedError);
  });

  it.each([
    [{ name: 'default' }, 'Election "default" is running already. Use it, or stop() it first.'],
    [{ name: 'taken' }, 'Election "taken" is running already. Use it, or stop() it first.'],
    [{}, "LeaderElections.create(): name: give the election a name, such as 'tenant-5'."],
    [undefined, "LeaderElections.create(): name: give the election a name, such as 'tenant-5'."],
    [{ name: 'a:b' }, `LeaderElections.create(): name: "a:b" may hold letters, digits, '_', '.' and '-' only.`],
    [{ name: 'a', priority: 0.5 }, 'LeaderElections.create(): priority: expected an integer.'],
    [
      { name: 'a', renewDeadline: '2s', retryPeriod: '2s' },
      'LeaderElections.create(): renewDeadline (2000 ms) must be more than 1.2 × retryPeriod (2000 ms)',
    ],
  ])('refuses %o', async (options, text) => {
    const app = await start({});
    const elections = app.get(LeaderElections);
    elections.create({ name: 'taken' });
    expect(() => elections.create(options as { name: string })).toThrow(text);
  });
});
