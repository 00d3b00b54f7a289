import { Controller, Get, Injectable, SetMetadata } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { MessagePattern } from '@nestjs/microservices';
import { Cron, Interval, Timeout } from '@nestjs/schedule';
import type { TestingModule } from '@nestjs/testing';
import {
  bindDistLock,
  type BoundServices,
  currentLock,
  LeaderOnly,
  type LeaderOnlyOptions,
  LeaderService,
  LockConfigError,
  LockNotBoundError,
  NotLeaderError,
  type Term,
  WithLock,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { describe, expect, it, vi } from 'vitest';
import { outcome } from '../../support/engine/engine.js';
import { compile, knownLeader, leading, start, startError, startLeader } from '../../support/nest/app.js';

type Type<T> = new () => T;

/** An instance of a provider on a replica that follows. */
async function following<T extends object>(type: Type<T>): Promise<T> {
  const driver = new MemoryDriver();
  await startLeader(driver);
  const app = await start({ locks: { driver }, providers: [type] });
  await knownLeader(app);
  return app.get(type);
}

/** An instance of a provider on the replica that leads. */
async function leadingWith<T extends object>(type: Type<T>): Promise<T> {
  const app = await start({ providers: [type] });
  await leading(app);
  return app.get(type);
}

const Marked = SetMetadata('marked', true);

@Injectable()
class Reports {
  readonly name = 'reports';

  @LeaderOnly()
  async build(day: string, pages = 1): Promise<string> {
    return `${this.name} ${day} ${pages}`;
  }

  @LeaderOnly({ otherwise: 'skip' })
  async skipped(): Promise<string | undefined> {
    return 'ran';
  }

  @LeaderOnly()
  broken(): Promise<void> {
    throw new TypeError('thrown, not rejected');
  }

  @LeaderOnly()
  @WithLock('reports')
  async locked(): Promise<string | undefined> {
    return currentLock()?.key;
  }

  @Cron('0 2 * * *')
  @LeaderOnly({ otherwise: 'reject' })
  async insists(): Promise<void> {}
}

describe('a method under @LeaderOnly', () => {
  it('runs on the leader, with its arguments, its object and its result', async () => {
    const reports = await leadingWith(Reports);
    expect(await reports.build('Monday')).toBe('reports Monday 1');
    expect(await reports.build('Monday', 2)).toBe('reports Monday 2');
    expect(await reports.skipped()).toBe('ran');
    expect(await reports.locked()).toBe('reports');
  });

  it('rejects elsewhere, and says who leads', async () => {
    const reports = await following(Reports);
    const error: NotLeaderError = await reports.build('Monday').catch((reason) => reason);
    expect(error).toBeInstanceOf(NotLeaderError);
    expect(error).toMatchObject({
      message: 'This instance does not lead election "default"; the-leader leads.',
      code: 'NOT_LEADER',
      statusCode: 503,
      election: 'default',
      leader: { id: 'the-leader' },
      retryAfter: 15_000,
    });
  });

  it('is skipped elsewhere where it says so', async () => {
    expect(await (await following(Reports)).skipped()).toBeUndefined();
  });

  it('rejects where the method throws before it returns a promise', async () => {
    await expect((await leadingWith(Reports)).broken()).rejects.toThrow(new TypeError('thrown, not rejected'));
  });

  it('keeps its name, its length and its metadata, whichever decorator comes first', () => {
    class Service {
      @SetMetadata('above', 1)
      @LeaderOnly()
      @SetMetadata('below', [2])
      async run(_one: string, _two: number, _three = 3): Promise<void> {}
    }
    const { run } = Service.prototype;
    expect([run.name, run.length]).toEqual(['run', 2]);
    expect([Reflect.getMetadata('above', run), Reflect.getMetadata('below', run)]).toEqual([1, [2]]);
  });

  it('rejects on an object that Nest did not create, and names the repair', async () => {
    await expect(new Reports().build('Monday')).rejects.toThrow(
      new LockNotBoundError(
        '@LeaderOnly on Reports.build: this object has no LeaderService, because Nest did not create it. ' +
          'Let Nest create it, or give it the service with bindDistLock() in a unit test.',
      ),
    );
  });

  it('works with what bindDistLock() gives it', async () => {
    const term: Term = { number: 1, election: 'default', signal: new AbortController().signal };
    const leader: BoundServices['leader'] = {
      isLeader: () => true,
      assertLeader: () => term,
      runAsLeader: (work) => work(term),
    };
    expect(await bindDistLock(new Reports(), { leader }).build('Monday')).toBe('reports Monday 1');
  });

  it('rejects where the term ends between two looks at the clock', async () => {
    let looks = 0;
    const look = (): void => {
      if (++looks > 1) throw new NotLeaderError('default', null, 15_000);
    };
    const isLeader = (): boolean => ++looks === 1;
    const leader = { isLeader, assertLeader: look as () => never, runAsLeader: () => Promise.resolve(undefined) };
    await expect(bindDistLock(new Reports(), { leader }).build('Monday')).rejects.toThrow(NotLeaderError);
    looks = 0;
    expect(await bindDistLock(new Reports(), { leader }).skipped()).toBeUndefined();
  });

  it.each([true, false])('believes a test double that says whether it leads: %s', async (leads) => {
    const term = { number: 1, election: 'default', signal: new AbortController().signal };
    const leader: BoundServices['leader'] = {
      isLeader: () => leads,
      assertLeader: () => term,
      runAsLeader: async (work) => Promise.resolve().then(() => work(term)),
    };
    expect(await bindDistLock(new Reports(), { leader }).skipped()).toBe(leads ? 'ran' : undefined);
  });
});

describe('where nobody can receive an error, a method under @LeaderOnly is skipped', () => {
  @Injectable()
  class Background {
    @Cron('0 2 * * *')
    @LeaderOnly()
    async cronAbove(): Promise<string | undefined> {
      return 'ran';
    }

    @LeaderOnly()
    @Cron('0 2 * * *')
    async cronBelow(): Promise<string | undefined> {
      return 'ran';
    }

    @Interval(3_600_000)
    @LeaderOnly()
    async intervalAbove(): Promise<string | undefined> {
      return 'ran';
    }

    @LeaderOnly()
    @Interval(3_600_000)
    async intervalBelow(): Promise<string | undefined> {
      return 'ran';
    }

    @Timeout(3_600_000)
    @LeaderOnly()
    async timeoutAbove(): Promise<string | undefined> {
      return 'ran';
    }

    @LeaderOnly()
    @Timeout(3_600_000)
    async timeoutBelow(): Promise<string | undefined> {
      return 'ran';
    }

    @OnEvent('e')
    @LeaderOnly()
    async eventAbove(): Promise<string | undefined> {
      return 'ran';
    }

    @LeaderOnly()
    @OnEvent('e')
    async eventBelow(): Promise<string | undefined> {
      return 'ran';
    }

    @Cron('0 2 * * *')
    @WithLock('job')
    @LeaderOnly()
    async lockBetween(): Promise<string | undefined> {
      return 'ran';
    }

    @Cron('0 2 * * *')
    @LeaderOnly()
    @WithLock('job')
    async lockInside(): Promise<string | undefined> {
      return 'ran';
    }

    @WithLock('job')
    @Marked
    @Cron('0 2 * * *')
    @LeaderOnly()
    async lockOutside(): Promise<string | undefined> {
      return 'ran';
    }
  }

  const METHODS = Object.getOwnPropertyNames(Background.prototype).slice(1) as (keyof Background)[];

  it.each(METHODS)('%s', async (method) => {
    expect(await (await following(Background))[method]()).toBeUndefined();
    expect(await (await leadingWith(Background))[method]()).toBe('ran');
  });

  it('also where it is the base of such a method', async () => {
    @Injectable()
    class Nightly extends Reports {
      @Cron('0 2 * * *')
      override async build(): Promise<string> {
        return super.build('today');
      }
    }
    expect(await (await following(Nightly)).build()).toBeUndefined();
    expect(await (await leadingWith(Nightly)).build()).toBe('reports today 1');
  });

  it('unless it says otherwise', async () => {
    await expect((await following(Reports)).insists()).rejects.toThrow(NotLeaderError);
  });
});

describe('a method under @Timeout and @LeaderOnly', () => {
  @Injectable()
  class Warmup {
    @Timeout(3_600_000)
    @LeaderOnly()
    async timeout(): Promise<string | undefined> {
      return 'ran';
    }

    @Interval(3_600_000)
    @LeaderOnly()
    async interval(): Promise<string | undefined> {
      return 'ran';
    }
  }

  it('waits until it is known who leads: it fires once, and nobody leads just after the start', async () => {
    const driver = new MemoryDriver();
    const elections = [{ autoCampaign: false, retryPeriod: 50 }];
    const replica = (): Promise<TestingModule> => start({ locks: { driver, elections }, providers: [Warmup] });
    const [a, b] = await Promise.all([replica(), replica()]);
    const outcomes = [a, b].map((app) => outcome(app.get(Warmup).timeout()));
    expect(await a.get(Warmup).interval()).toBeUndefined();
    expect(outcomes).toMatchObject([{ settled: false }, { settled: false }]);
    await a.get(LeaderService).campaign();
    await vi.waitUntil(() => outcomes.every(({ settled }) => settled));
    expect(outcomes.map(({ value }) => value)).toEqual(['ran', undefined]);
  });

  it('is skipped when the application ends before anybody led', async () => {
    const elections = [{ autoCampaign: false }];
    const app = await start({ locks: { elections }, providers: [Warmup] });
    const waiting = app.get(Warmup).timeout();
    await app.close();
    expect(await waiting).toBeUndefined();
  });
});

describe('`redirect` and `forward` are refused at start where there is no HTTP request', () => {
  class OnCron {
    @Cron('0 2 * * *')
    @LeaderOnly({ otherwise: 'redirect' })
    async run(): Promise<void> {}
  }
  class OnMethod {
    @LeaderOnly({ otherwise: 'forward' })
    async run(): Promise<void> {}
  }
  class OnMessage {
    @MessagePattern('m')
    @LeaderOnly({ otherwise: 'forward' })
    async run(): Promise<void> {}
  }
  @LeaderOnly({ otherwise: 'forward' })
  class OnJobs {
    @Cron('0 2 * * *')
    async run(): Promise<void> {}
  }

  it.each([
    [OnCron, 'redirect', 'OnCron.run'],
    [OnMethod, 'forward', 'OnMethod.run'],
    [OnMessage, 'forward', 'OnMessage.run'],
    [OnJobs, 'forward', 'OnJobs'],
  ])('%o', async (type, otherwise, label) => {
    expect(await startError(compile({ providers: [type] }))).toEqual(
      new LockConfigError(
        `@LeaderOnly({ otherwise: '${otherwise}' }) on ${label}: only HTTP requests can be sent to the leader, and this ` +
          "handles none. Use 'skip' or 'reject'.",
      ),
    );
  });

  it('but not on a class that has routes, too: its jobs are skipped', async () => {
    @LeaderOnly({ otherwise: 'forward' })
    @Controller()
    class Mixed {
      @Get()
      get(): string {
        return 'route';
      }

      @Cron('0 2 * * *')
      async run(): Promise<string> {
        return 'job';
      }
    }
    const driver = new MemoryDriver();
    await startLeader(driver);
    const app = await start({ locks: { driver }, controllers: [Mixed] });
    await knownLeader(app);
    expect(await app.get(Mixed).run()).toBeUndefined();
  });
});

describe('a class under @LeaderOnly', () => {
  class Base {
    @Cron('0 2 * * *')
    inherited(): string | Promise<string> {
      return 'ran';
    }
  }

  @LeaderOnly()
  @Injectable()
  class Jobs extends Base {
    readonly name = 'jobs';

    @Interval(3_600_000)
    scheduled(): string | Promise<string> {
      return this.name;
    }

    @OnEvent('e')
    async onEvent(payload: string): Promise<string> {
      return payload;
    }

    @Timeout(3_600_000)
    @LeaderOnly({ otherwise: 'reject' })
    async insists(): Promise<string> {
      return 'ran';
    }

    ordinary(): string {
      return 'ordinary';
    }
  }

  @Injectable()
  class MoreJobs extends Jobs {}

  it.each<Type<Jobs>>([Jobs, MoreJobs])(
    'skips all background methods elsewhere, the inherited ones too: %o',
    async (type) => {
      const jobs = await following(type);
      expect(await jobs.inherited()).toBeUndefined();
      expect(await jobs.scheduled()).toBeUndefined();
      expect(await jobs.onEvent('e')).toBeUndefined();
    },
  );

  it.each<Type<Jobs>>([Jobs, MoreJobs])('runs them on the leader: %o', async (type) => {
    const jobs = await leadingWith(type);
    expect(await jobs.inherited()).toBe('ran');
    expect(await jobs.scheduled()).toBe('jobs');
    expect(await jobs.onEvent('e')).toBe('e');
  });

  it('leaves the class that it extends as it was', () => {
    expect(new Base().inherited()).toBe('ran');
  });

  it('leaves to a method what that says for itself, and other methods alone', async () => {
    const jobs = await following(Jobs);
    await expect(jobs.insists()).rejects.toThrow(NotLeaderError);
    expect(jobs.ordinary()).toBe('ordinary');
  });

  it('takes options for all its methods', async () => {
    @LeaderOnly({ otherwise: 'reject' })
    @Injectable()
    class Loud {
      @Cron('0 2 * * *')
      async run(): Promise<void> {}
    }
    await expect((await following(Loud)).run()).rejects.toThrow(NotLeaderError);
  });

  it.each([
    ['route', () => Get()],
    ['message handler', () => MessagePattern('m')],
    ['event handler', () => OnEvent('e')],
    ['scheduled method', () => Cron('0 2 * * *')],
  ])('may have nothing but a %s', async (_what, decorator) => {
    @LeaderOnly()
    @Controller()
    class Only {
      @decorator()
      run(): void {}
    }
    await expect(start({ controllers: [Only] })).resolves.toBeDefined();
  });

  it('is refused at start where it can do nothing', async () => {
    @LeaderOnly()
    @Injectable()
    class Nothing {
      async run(): Promise<void> {}
    }
    expect(await startError(compile({ providers: [Nothing] }))).toEqual(
      new LockConfigError(
        '@LeaderOnly() on class Nothing has no effect: it has no route, message, cron, interval, timeout or event ' +
          'handler. Decorate the methods that only the leader may run.',
      ),
    );
  });

  it('is refused at start where a class that extends it adds a background method, which nothing would gate', async () => {
    @Injectable()
    class Extended extends Jobs {
      @Cron('0 3 * * *')
      async more(): Promise<void> {}
    }
    expect(await startError(compile({ providers: [Extended] }))).toEqual(
      new LockConfigError(
        'Extended.more would run on every instance: class Extended extends one under @LeaderOnly(), which does not ' +
          'reach the scheduled and event methods that a subclass adds. Decorate class Extended, too.',
      ),
    );
    @LeaderOnly()
    @Injectable()
    class Repaired extends Extended {}
    expect(await (await following(Repaired)).more()).toBeUndefined();
  });
});

describe('a wrong option of @LeaderOnly is refused where it is written', () => {
  it.each<[unknown, string]>([
    [{ registration: 5 }, '@LeaderOnly: registration: expected a string.'],
    [{ otherwise: 'wait' }, "@LeaderOnly: otherwise: expected 'skip', 'reject', 'redirect', 'forward'."],
    [
      { leader: true },
      '@LeaderOnly: leader: unknown option. Known: election, registration, otherwise, timeout, catchUp, job.',
    ],
    [['billing'], '@LeaderOnly: options: expected an object.'],
    ['', '@LeaderOnly: election: must not be empty.'],
    [{ election: 5 }, '@LeaderOnly: election: expected a string.'],
    [{ timeout: '1s' }, "@LeaderOnly: timeout: has no effect without 'forward'."],
    [
      { otherwise: 'forward', timeout: 'soon' },
      `@LeaderOnly: timeout: "soon" is not a duration. Use milliseconds (5000) or a string with a unit: '500ms', '30s', '2m', '1h', '1d'.`,
    ],
  ])('%o', (options, text) => {
    expect(() => LeaderOnly(options as LeaderOnlyOptions)).toThrow(new LockConfigError(text));
  });

  it('and so is `catchUp` on a class that has nothing to catch up with', () => {
    class Jobs {
      @Interval(1000)
      run(): void {}
    }
    expect(() => LeaderOnly({ catchUp: true })(Jobs)).toThrow(
      new LockConfigError('@LeaderOnly({ catchUp: true }) on class Jobs has no effect: it has no @Cron() method.'),
    );
  });

  it('and so is a static method', () => {
    class Jobs {
      static async run(): Promise<void> {}
    }
    expect(() => (LeaderOnly() as MethodDecorator)(Jobs, 'run', Object.getOwnPropertyDescriptor(Jobs, 'run')!)).toThrow(
      new LockConfigError('@LeaderOnly on Jobs.run: only instance methods can be decorated.'),
    );
  });
});
