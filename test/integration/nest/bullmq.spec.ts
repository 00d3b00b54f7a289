import { BullModule, BullRegistrar, getQueueToken, OnWorkerEvent, Processor, WorkerHost } from '@nestjs/bullmq';
import type { INestApplicationContext } from '@nestjs/common';
import type { Job, Queue } from 'bullmq';
import { LeaderOnly, LeaderService } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom, ReplaySubject, take, toArray } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { knownLeader, leading, start, startLeader } from '../../support/nest/app.js';
import { Step } from '../../support/nest/step.js';
import { useRedis } from '../../support/servers/use-redis.js';

interface Work {
  readonly by: string;
  readonly job: string;
}

const redis = useRedis();
let driver: MemoryDriver;
let worked: ReplaySubject<Work>;
let step: Step | undefined;

beforeEach(() => {
  driver = new MemoryDriver();
  worked = new ReplaySubject();
  step = undefined;
});

abstract class Reports extends WorkerHost {
  readonly events = new ReplaySubject<string>();

  abstract readonly leader: LeaderService;

  async handle(job: Job): Promise<string> {
    worked.next({ by: this.leader.state.leader!.id, job: job.name });
    const { signal } = this.leader.assertLeader();
    await step?.run();
    return signal.aborted ? 'aborted' : 'done';
  }

  @OnWorkerEvent('failed')
  failed(job: Job): void {
    this.events.next(`failed ${job.name}`);
  }

  @OnWorkerEvent('completed')
  completed(job: Job): void {
    this.events.next(`completed ${job.name} ${job.returnvalue as string}`);
  }

  @OnWorkerEvent('active')
  active(job: Job): void {
    this.events.next(`active ${job.name}`);
  }
}

@LeaderOnly()
@Processor('reports')
class DecoratorAbove extends Reports {
  constructor(readonly leader: LeaderService) {
    super();
  }
  async process(job: Job): Promise<string> {
    return this.handle(job);
  }
}

@Processor('reports', { concurrency: 2 })
@LeaderOnly()
class DecoratorBelow extends Reports {
  constructor(readonly leader: LeaderService) {
    super();
  }
  async process(job: Job): Promise<string> {
    return this.handle(job);
  }
}

@Processor('reports')
class OnTheMethod extends Reports {
  constructor(readonly leader: LeaderService) {
    super();
  }
  @LeaderOnly()
  async process(job: Job): Promise<string> {
    return this.handle(job);
  }
}

type ProcessorType = typeof DecoratorAbove;

async function replica(id: string, type: ProcessorType, manual = false): Promise<INestApplicationContext> {
  const connection = { host: '127.0.0.1', port: redis.server.port };
  const extraOptions = { manualRegistration: manual };
  const elections = [{ leaseDuration: 3000 }];
  return start({
    locks: { driver, instance: { id }, elections },
    imports: [BullModule.forRoot({ connection, extraOptions }), BullModule.registerQueue({ name: 'reports' })],
    providers: [type],
  });
}

const queueOf = (app: INestApplicationContext): Queue => app.get<Queue>(getQueueToken('reports'));
const worksOf = (count: number): Promise<Work[]> => firstValueFrom(worked.pipe(take(count), toArray()));
const event = (app: INestApplicationContext, type: ProcessorType, pattern: RegExp): Promise<string> =>
  firstValueFrom(app.get(type).events.pipe(filter((text) => pattern.test(text))));

describe.each<[string, ProcessorType]>([
  ['above @Processor', DecoratorAbove],
  ['below @Processor', DecoratorBelow],
  ['on its method', OnTheMethod],
])('a BullMQ processor with @LeaderOnly %s', (_where, type) => {
  it('works on the leader, while the worker of the other is paused, and on the successor afterwards', async () => {
    const a = await replica('a', type);
    await leading(a);
    const b = await replica('b', type);
    await knownLeader(b);
    expect([a.get(type).worker.isRunning(), b.get(type).worker.isRunning()]).toEqual([true, false]);
    for (let index = 0; index < 5; index++) await queueOf(b).add(`a${index}`, {}, { attempts: 1 });
    expect((await worksOf(5)).map(({ by }) => by)).toEqual(['a', 'a', 'a', 'a', 'a']);

    await a.get(LeaderService).resign();
    await leading(b);
    await queueOf(b).add('b0', {}, { attempts: 1 });
    expect((await worksOf(6)).at(-1)).toEqual({ by: 'b', job: 'b0' });
    expect(a.get(type).worker.isPaused()).toBe(true);

    // And back: a paused worker starts again.
    await b.get(LeaderService).resign();
    await leading(a);
    await queueOf(b).add('a5', {}, { attempts: 1 });
    expect((await worksOf(7)).at(-1)).toEqual({ by: 'a', job: 'a5' });
    expect(await queueOf(a).getFailedCount()).toBe(0);
  });
});

describe('a job that runs when its term ends', () => {
  it('has its signal aborted, and the hand-over waits for it', async () => {
    step = new Step();
    const a = await replica('a', DecoratorAbove);
    await leading(a);
    const b = await replica('b', DecoratorAbove);
    await knownLeader(b);
    await queueOf(a).add('long', {});
    await step.begun;
    const resigned = a.get(LeaderService).resign();
    expect(a.get(LeaderService).isLeader()).toBe(false);
    await queueOf(a).add('next', {});
    expect(b.get(LeaderService).isLeader()).toBe(false);
    step.end();
    step = undefined;
    await resigned;
    expect(await event(a, DecoratorAbove, /^completed/)).toBe('completed long aborted');
    expect((await worksOf(2)).at(-1)).toEqual({ by: 'b', job: 'next' });
    await event(b, DecoratorAbove, /^completed next/);
  });
});

describe('a job that a follower fetched all the same', () => {
  it('is given back, and no attempt is counted', async () => {
    await startLeader(driver);
    const app = await replica('a', DecoratorAbove);
    await knownLeader(app);
    const job = await queueOf(app).add('early', {}, { attempts: 1 });
    const { worker } = app.get(DecoratorAbove);
    worker.resume();
    await event(app, DecoratorAbove, /^active early/);
    await worker.pause();
    expect([await job.getState(), (await queueOf(app).getJob(job.id!))!.attemptsMade]).toEqual(['waiting', 0]);
    expect(await queueOf(app).getFailedCount()).toBe(0);
  });
});

describe('a processor without @LeaderOnly', () => {
  @Processor('reports')
  class Ungated extends Reports {
    constructor(readonly leader: LeaderService) {
      super();
    }
    async process(job: Job): Promise<string> {
      return this.handle(job);
    }
  }

  it('control: works on a follower, too, where leader-only code fails and uses up the attempts', async () => {
    await startLeader(driver);
    const app = await replica('a', Ungated);
    await knownLeader(app);
    await queueOf(app).add('job', {}, { attempts: 1 });
    await event(app, Ungated, /^failed job/);
  });
});

describe('a worker that the application registers by hand', () => {
  it('is gated, too', async () => {
    const app = await replica('a', DecoratorAbove, true);
    await leading(app);
    await queueOf(app).add('late', {});
    app.get(BullRegistrar).register();
    expect(await worksOf(1)).toEqual([{ by: 'a', job: 'late' }]);
    await event(app, DecoratorAbove, /^completed/);
  });
});
