import { BullModule, getQueueToken, OnWorkerEvent, Processor, WorkerHost } from '@nestjs/bullmq';
import { Controller, Injectable, Scope } from '@nestjs/common';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { Cron, Interval, ScheduleModule, SchedulerRegistry, Timeout } from '@nestjs/schedule';
import type { Job, Queue } from 'bullmq';
import { CurrentLock, currentLock, type Lock, LockService, WithLock } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom, ReplaySubject, take, toArray } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { serve, start } from '../../support/nest/app.js';
import { Step } from '../../support/nest/step.js';
import { connectTcp, serveTcp } from '../../support/nest/tcp.js';
import { RedisServer } from '../../support/servers/redis-server.js';
import { useTopology } from '../../support/servers/use-topology.js';

/** The handlers that ran, each with the lock that it ran under. */
let handled: ReplaySubject<string>;

beforeEach(() => {
  handled = new ReplaySubject();
});

function handle(name: string): void {
  handled.next(`${name} ${currentLock()?.key}`);
}

/** What the first handlers to run were, sorted. */
async function firstHandled(count: number): Promise<string[]> {
  return (await firstValueFrom(handled.pipe(take(count), toArray()))).sort();
}

describe('@WithLock with @nestjs/schedule', () => {
  @Injectable()
  class Jobs {
    @Cron('* * * * * *')
    @WithLock('cron')
    async cronAbove(): Promise<void> {
      handle('cronAbove');
    }

    @WithLock('cron')
    @Cron('* * * * * *')
    async cronBelow(): Promise<void> {
      handle('cronBelow');
    }

    @Interval(10)
    @WithLock('interval', { otherwise: 'skip' })
    async intervalAbove(): Promise<void> {
      handle('intervalAbove');
    }

    @WithLock('other interval', { otherwise: 'skip' })
    @Interval(10)
    async intervalBelow(): Promise<void> {
      handle('intervalBelow');
    }

    @Timeout(10)
    @WithLock('timeout')
    async timeoutAbove(): Promise<void> {
      handle('timeoutAbove');
    }

    @WithLock('timeout')
    @Timeout(10)
    async timeoutBelow(): Promise<void> {
      handle('timeoutBelow');
    }
  }

  it('runs jobs under their lock, in either order of decorators', async () => {
    await start({ imports: [ScheduleModule.forRoot()], providers: [Jobs] });
    const expected = [
      'cronAbove cron',
      'cronBelow cron',
      'intervalAbove interval',
      'intervalBelow other interval',
      'timeoutAbove timeout',
      'timeoutBelow timeout',
    ];
    await Promise.all(expected.map((text) => firstValueFrom(handled.pipe(filter((each) => each === text)))));
  });

  it.each<[otherwise: 'skip' | 'wait', runs: number]>([
    ['skip', 1],
    ['wait', 2],
  ])('%s: of two replicas that fire at once, %d run the job', async (otherwise, runs) => {
    const step = new Step();
    let inside = 0;
    const ran: number[] = [];
    @Injectable()
    class Nightly {
      @Cron('0 0 1 1 *', { name: 'nightly', waitForCompletion: true })
      @WithLock('nightly', { otherwise })
      async run(): Promise<void> {
        ran.push(++inside);
        await step.run();
        inside--;
      }
    }
    const driver = new MemoryDriver();
    const replica = () => start({ locks: { driver }, imports: [ScheduleModule.forRoot()], providers: [Nightly] });
    const replicas = await Promise.all([replica(), replica()]);
    const contended = replicas.map((app) =>
      firstValueFrom(app.get(LockService).events$.pipe(filter(({ type }) => type === 'contended'))),
    );
    const ticks = replicas.map((app) => app.get(SchedulerRegistry).getCronJob('nightly').fireOnTick());
    await Promise.all([step.begun, Promise.race(contended)]);
    step.end();
    await Promise.all(ticks);
    expect(ran).toEqual(Array.from({ length: runs }, () => 1));
  });
});

describe('@WithLock with @nestjs/event-emitter', () => {
  @Injectable()
  class Listeners {
    @OnEvent('paid')
    @WithLock('order:{0}')
    async above(_id: string, @CurrentLock() lock?: Lock): Promise<void> {
      handle(`above ${lock?.key}`);
    }

    @WithLock('order:{0}')
    @OnEvent('paid')
    async below(_id: string): Promise<void> {
      handle('below');
    }
  }

  @Injectable({ scope: Scope.REQUEST })
  class ListenersPerRequest {
    @OnEvent('paid')
    @WithLock('request:{0}')
    async perRequest(_id: string): Promise<void> {
      handle('perRequest');
    }
  }

  it('runs listeners under their lock, also those of each event', async () => {
    const app = await start({ imports: [EventEmitterModule.forRoot()], providers: [Listeners, ListenersPerRequest] });
    await app.get(EventEmitter2).emitAsync('paid', '7');
    expect(await firstHandled(3)).toEqual(['above order:7 order:7', 'below order:7', 'perRequest request:7']);
  });
});

describe('@WithLock with @nestjs/microservices', () => {
  @Controller()
  class Messages {
    @MessagePattern('above')
    @WithLock('order:{0.id}')
    async above(@Payload() { id }: { id: string }, @CurrentLock() lock?: Lock): Promise<unknown> {
      return [id, lock?.key, currentLock()?.key];
    }

    @WithLock('order:{0.id}')
    @MessagePattern('below')
    async below(@Payload('id') id: string): Promise<unknown> {
      return [id];
    }

    @WithLock((id: string) => `order:${id}`)
    @MessagePattern('function')
    async byFunction(@Payload('id') id: string): Promise<unknown> {
      return [id, currentLock()?.key];
    }

    @EventPattern('event')
    @WithLock('order:{0.id}')
    async event(@Payload() _order: { id: string }): Promise<void> {
      handle('event');
    }
  }

  @Controller({ scope: Scope.REQUEST })
  class MessagesPerRequest {
    @MessagePattern('request')
    @WithLock('request:{0.id}')
    async request(@Payload() { id }: { id: string }): Promise<unknown> {
      return [id, currentLock()?.key];
    }
  }

  it('handles messages and events under their lock, in either order of decorators', async () => {
    const { app } = await serve({ controllers: [Messages, MessagesPerRequest] });
    const client = await connectTcp(app);
    expect(await client.send('above', { id: '1' })).toEqual(['1', 'order:1', 'order:1']);
    // The template says {0.id}, but the handler's argument is the id.
    await expect(client.send('below', { id: '2' })).rejects.toMatchObject({
      status: 'error',
      statusCode: 400,
      code: 'LOCK_KEY',
    });
    expect(await client.send('function', { id: '3' })).toEqual(['3', 'order:3']);
    expect(await client.send('request', { id: '4' })).toEqual(['4', 'request:4']);
    await client.emit('event', { id: '5' });
    expect(await firstHandled(1)).toEqual(['event order:5']);
  });

  it('in an application without HTTP, too', async () => {
    const { client } = await serveTcp({ controllers: [Messages] });
    expect(await client.send('above', { id: '1' })).toEqual(['1', 'order:1', 'order:1']);
  });
});

describe('@WithLock with @nestjs/bullmq', () => {
  const server = useTopology(() => RedisServer.start());

  @Processor('orders')
  class OrderProcessor extends WorkerHost {
    readonly completed = new ReplaySubject<unknown>();

    @WithLock('order:{0.data.id}')
    async process(job: Job<{ id: string }>): Promise<unknown> {
      return [job.data.id, currentLock()?.key];
    }

    @OnWorkerEvent('completed')
    onCompleted(job: Job): void {
      this.completed.next(job.returnvalue);
    }
  }

  it('processes jobs under their lock', async () => {
    const connection = { host: '127.0.0.1', port: server.port };
    const app = await start({
      imports: [BullModule.forRoot({ connection }), BullModule.registerQueue({ name: 'orders' })],
      providers: [OrderProcessor],
    });
    await app.get<Queue>(getQueueToken('orders')).add('charge', { id: '7' });
    expect(await firstValueFrom(app.get(OrderProcessor).completed)).toEqual(['7', 'order:7']);
  });
});
