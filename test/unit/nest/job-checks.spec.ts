import { Controller, Injectable, Module, type ModuleMetadata, Scope, type Type } from '@nestjs/common';
import { Cron, CronExpression, Interval, ScheduleModule } from '@nestjs/schedule';
import { DistLockModule, LeaderOnly, OncePerTick, WithLock } from 'nestjs-dist-lock';
import { firstValueFrom, ReplaySubject, take, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { leading, start } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';

const YEARLY = '0 0 0 1 1 *';

async function warnings(metadata: ModuleMetadata): Promise<string[]> {
  const logger = new RecordingLogger();
  const { imports = [] } = metadata;
  await start({ ...metadata, imports: [DistLockModule.forRoot({ name: 'other' }), ...imports], logger });
  return logger.texts('warn').filter((text) => !text.startsWith('@WithLock') && !text.includes('non static provider'));
}

/** A module of this name. */
function moduleOf(name: string, metadata: ModuleMetadata): Type {
  const type = { [name]: class {} }[name]!;
  Module(metadata)(type);
  return type;
}

@Injectable()
class Leading {
  @Cron(YEARLY)
  @LeaderOnly()
  async run(): Promise<void> {}
}

@Injectable()
class Locking {
  @Interval(3_600_000)
  @WithLock('job', { otherwise: 'skip', holdAtLeast: '10s' })
  async run(): Promise<void> {}
}

@Injectable()
class Claiming {
  @Cron(YEARLY)
  @OncePerTick()
  async run(): Promise<void> {}

  @Cron(YEARLY)
  @LeaderOnly({ catchUp: true })
  async leads(): Promise<void> {}
}

@Injectable()
class Plain {
  @Cron(YEARLY)
  run(): void {}

  @LeaderOnly()
  async noJob(): Promise<void> {}
}

describe('two schedulers', () => {
  const scheduler = (): ModuleMetadata => ({ imports: [ScheduleModule.forRoot()] });
  const doubled = (count: number): string =>
    `ScheduleModule.forRoot() is imported ${count} times, so each tick of a scheduled method runs ${count} times in this ` +
    'process, also on the leader. Import it once, in the root module.';

  it.each<[string, Type[], number, string[]]>([
    ['of a job of the leader', [Leading], 2, [doubled(2)]],
    ['of a job with a lock', [Locking], 3, [doubled(3)]],
    ['of jobs whose fires are claimed', [Claiming], 2, []],
    ['of jobs that are not ours', [Plain], 2, []],
    ['of no job', [], 2, []],
    ['one only', [Leading, Locking], 1, []],
    ['none', [Leading], 0, []],
  ])('%s', async (_, providers, count, expected) => {
    const imports = Array.from({ length: count }, (_each, index) => moduleOf(`Part${index}`, scheduler()));
    expect(await warnings({ imports, providers })).toEqual(expected);
  });

  it('run each tick twice, also on the leader', async () => {
    const runs = new ReplaySubject<number>();
    @Injectable()
    class Ticking {
      @Cron(CronExpression.EVERY_SECOND)
      @LeaderOnly()
      async run(): Promise<void> {
        runs.next(Math.round(Date.now() / 1000));
      }
    }
    const imports = [moduleOf('One', scheduler()), moduleOf('Two', scheduler())];
    await leading(await start({ imports, providers: [Ticking] }));
    const ticks = await firstValueFrom(runs.pipe(take(5), toArray()));
    expect(new Set(ticks).size).toBeLessThan(ticks.length);
  });
});

describe('two instances of a class with jobs', () => {
  const doubled = (name: string, modules: string[]): string =>
    `${name} has ${modules.length} instances, by the modules ${modules.join(', ')}, so each tick of its scheduled methods ` +
    `runs ${modules.length} times in this process, also on the leader. Provide it in one module, export it there, and ` +
    'import that module in the others.';

  @Injectable()
  class Sub extends Leading {}

  @Controller()
  class Routes {
    @Cron(YEARLY)
    @LeaderOnly()
    async run(): Promise<void> {}
  }

  @Injectable({ scope: Scope.REQUEST })
  class PerRequest {
    @Cron(YEARLY)
    @LeaderOnly()
    async run(): Promise<void> {}
  }

  @Injectable()
  class Named {
    @Cron(YEARLY)
    @LeaderOnly({ registration: 'other' })
    async run(): Promise<void> {}
  }

  const twice = (type: Type): Type[] => ['Orders', 'Bills'].map((name) => moduleOf(name, { providers: [type] }));

  it.each<[string, Type[], string[]]>([
    ['of the leader', twice(Leading), [doubled('Leading', ['Orders', 'Bills'])]],
    ['with a lock', twice(Locking), [doubled('Locking', ['Orders', 'Bills'])]],
    ['that are inherited', twice(Sub), [doubled('Sub', ['Orders', 'Bills'])]],
    ['of another registration', twice(Named), [doubled('Named', ['Orders', 'Bills'])]],
    [
      'of a controller',
      ['Orders', 'Bills'].map((name) => moduleOf(name, { controllers: [Routes] })),
      [doubled('Routes', ['Orders', 'Bills'])],
    ],
    [
      'by another token',
      [
        moduleOf('Orders', { providers: [Leading] }),
        moduleOf('Bills', { providers: [{ provide: 'jobs', useClass: Leading }] }),
      ],
      [doubled('Leading', ['Orders', 'Bills'])],
    ],
    ['whose fires are claimed', twice(Claiming), []],
    ['that are not ours', twice(Plain), []],
    ['that Nest never schedules', twice(PerRequest), []],
    ['that are two classes', [moduleOf('A', { providers: [Leading] }), moduleOf('B', { providers: [Sub] })], []],
    [
      'that are one, by two tokens',
      [moduleOf('A', { providers: [Leading, { provide: 'jobs', useExisting: Leading }] })],
      [],
    ],
  ])('%s', async (_, imports, expected) => {
    expect(await warnings({ imports: [ScheduleModule.forRoot(), ...imports] })).toEqual(expected);
  });
});

describe('the name of a job', () => {
  const minified = (label: string): string =>
    `The job of ${label} is named after its class, whose name looks minified. Replicas of two releases may then have two ` +
    "names for one job, and each run it. Set `job`, as in @OncePerTick({ job: 'nightly-report' }) or " +
    "@LeaderOnly({ catchUp: true, job: 'nightly-report' }), or keep class names in the build.";
  type RunDecorator = (
    target: object,
    property: string | symbol,
    descriptor: TypedPropertyDescriptor<() => Promise<void>>,
  ) => void;

  function jobs(name: string, decorator: RunDecorator): Type {
    class Jobs {
      @Cron(YEARLY)
      @decorator
      async run(): Promise<void> {}
    }
    Object.defineProperty(Jobs, 'name', { value: name });
    Injectable()(Jobs);
    return Jobs;
  }

  it.each<[string, string, RunDecorator, string[]]>([
    ['of one letter', 'a', OncePerTick(), [minified('a.run')]],
    ['of two letters', 'Zb', OncePerTick({ catchUp: true }), [minified('Zb.run')]],
    ['of none', '', OncePerTick(), [minified('.run')]],
    ['of the leader', 't', LeaderOnly({ catchUp: true }), [minified('t.run')]],
    ['of three letters', 'Job', OncePerTick(), []],
    ['that is given', 'a', OncePerTick({ job: 'nightly' }), []],
    ['that is given to the leader', 'a', LeaderOnly({ catchUp: true, job: 'nightly' }), []],
    ['that no store knows', 'a', LeaderOnly(), []],
  ])('%s', async (_, name, decorator, expected) => {
    expect(await warnings({ imports: [ScheduleModule.forRoot()], providers: [jobs(name, decorator)] })).toEqual(
      expected,
    );
  });

  it.each<[object, string]>([
    [{ job: 'x' }, '@LeaderOnly: job: has no effect without catchUp.'],
    [{ catchUp: true, job: '' }, '@LeaderOnly: job: must not be empty.'],
    [{ catchUp: true, job: 5 }, '@LeaderOnly: job: expected a string.'],
  ])('is refused where it is wrong: %o', (options, message) => {
    expect(() => LeaderOnly(options)).toThrow(message);
  });

  it('of two jobs of the leader must differ', async () => {
    @Injectable()
    class Twins {
      @Cron(YEARLY)
      @LeaderOnly({ catchUp: true, job: 'nightly' })
      async one(): Promise<void> {}

      @Cron(YEARLY)
      @OncePerTick({ job: 'nightly' })
      async two(): Promise<void> {}
    }
    await expect(start({ imports: [ScheduleModule.forRoot()], providers: [Twins] })).rejects.toThrow(
      'Twins.one has the same job name "nightly"',
    );
  });
});
