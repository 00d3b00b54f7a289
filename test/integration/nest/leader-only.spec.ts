import {
  type CallHandler,
  Controller,
  type ExecutionContext,
  Get,
  type INestApplication,
  Injectable,
  type NestInterceptor,
  Param,
  ParseIntPipe,
  Sse,
  UseInterceptors,
} from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Cron, Interval, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { currentLock, LeaderOnly, LeaderService, WithLock } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { type Observable, of } from 'rxjs';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { type AppOptions, knownLeader, leading, serve, start, startLeader } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';
import { Step } from '../../support/nest/step.js';
import { connectTcp, serveTcp } from '../../support/nest/tcp.js';

let driver: MemoryDriver;

beforeEach(() => {
  driver = new MemoryDriver();
});

/** Two replicas: one that leads, and the application, which takes over when `promote` is called. */
async function serveFollower(options: AppOptions & { adapter?: AbstractHttpAdapter }) {
  const other = await startLeader(driver, { url: 'http://leader' });
  const served = await serve({
    ...options,
    locks: { driver, instance: { allowedUrls: ['http://leader'] }, ...options.locks },
  });
  await knownLeader(served.app);
  const promote = async (): Promise<void> => {
    await other.close();
    await leading(served.app);
  };
  return { ...served, promote };
}

describe.each<[string, () => AbstractHttpAdapter]>([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('@LeaderOnly on routes with %s', (_name, adapter) => {
  const passed = vi.fn();

  @Injectable()
  class Passing implements NestInterceptor {
    intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
      passed();
      return next.handle();
    }
  }

  @Controller('mixed')
  class Mixed {
    @LeaderOnly()
    @Get('above/:id')
    @UseInterceptors(Passing)
    async above(@Param('id', ParseIntPipe) id: number): Promise<object> {
      return { id };
    }

    @Get('below/:id')
    @LeaderOnly()
    async below(@Param('id', ParseIntPipe) id: number): Promise<object> {
      return { id };
    }

    @Get('locked/:id')
    @LeaderOnly()
    @WithLock('report:{0}')
    async locked(@Param('id') id: string): Promise<object> {
      return { id, key: currentLock()?.key };
    }

    @Get('skip/:id')
    @LeaderOnly({ otherwise: 'skip' })
    async skip(@Param('id') id: string): Promise<object | undefined> {
      return { id };
    }

    @Get('open/:id')
    open(@Param('id') id: string): object {
      return { id };
    }
  }

  class Base {
    @Get('inherited/:id')
    inherited(@Param('id') id: string): object {
      return { id };
    }
  }

  @LeaderOnly()
  @Controller('admin')
  class Admin extends Base {
    @Get('sync/:id')
    sync(@Param('id') id: string): object {
      return { id };
    }

    @Get('stream/:id')
    stream(@Param('id') id: string): Observable<object> {
      return of({ id });
    }

    @Sse('events/:id')
    events(@Param('id') id: string): Observable<{ data: string }> {
      return of({ data: id });
    }
  }

  @Controller('sub')
  class SubAdmin extends Admin {
    @Get('own/:id')
    own(@Param('id') id: string): object {
      return { id };
    }
  }

  const controllers = [Mixed, Admin, SubAdmin];
  const GUARDED = [
    'mixed/above',
    'mixed/below',
    'mixed/locked',
    'admin/inherited',
    'admin/sync',
    'admin/stream',
    'admin/events',
    'sub/inherited',
    'sub/sync',
    'sub/own',
  ];

  it.each(GUARDED)('/%s is answered with 503 by a follower, and by the leader with its result', async (path) => {
    const { url, promote } = await serveFollower({ controllers, adapter: adapter() });
    const refused = await fetch(`${url}/${path}/7`);
    expect(refused.status).toBe(503);
    expect(Object.fromEntries(refused.headers)).toMatchObject({ 'retry-after': '15', 'x-leader': 'http://leader' });
    expect(await refused.json()).toEqual({
      statusCode: 503,
      error: 'Service Unavailable',
      code: 'NOT_LEADER',
      message: 'This instance cannot answer the request. Try again later.',
    });
    await promote();
    const answered = await fetch(`${url}/${path}/7`);
    expect(answered.status).toBe(200);
    expect(answered.headers.has('x-leader')).toBe(false);
    expect(await answered.text()).toContain('7');
  });

  it('are refused before pipes and interceptors run', async () => {
    const { url, promote } = await serveFollower({ controllers, adapter: adapter() });
    passed.mockClear();
    expect((await fetch(`${url}/mixed/above/seven`)).status).toBe(503);
    expect(passed).not.toHaveBeenCalled();
    await promote();
    expect((await fetch(`${url}/mixed/above/seven`)).status).toBe(400);
    expect(passed).toHaveBeenCalled();
  });

  it('are refused without an entry in the log: that is nothing to report', async () => {
    const logger = new RecordingLogger();
    const { url } = await serveFollower({ controllers, adapter: adapter(), logger });
    expect((await fetch(`${url}/admin/sync/7`)).status).toBe(503);
    expect(logger.lines.filter(({ level }) => level !== 'log')).toEqual([]);
  });

  it('leave other routes alone, and those that skip answer with nothing', async () => {
    const { url, promote } = await serveFollower({ controllers, adapter: adapter() });
    expect(await (await fetch(`${url}/mixed/open/7`)).json()).toEqual({ id: '7' });
    const skipped = await fetch(`${url}/mixed/skip/7`);
    expect([skipped.status, await skipped.text()]).toEqual([200, '']);
    await promote();
    expect(await (await fetch(`${url}/mixed/skip/7`)).json()).toEqual({ id: '7' });
  });

  it('name the address of the leader, where it has one, and how soon to ask again', async () => {
    await startLeader(driver, { url: 'http://10.0.0.1:3000' });
    const elections = [{ leaseDuration: '4.2s' }];
    const instance = { url: 'http://10.0.0.2:3000' };
    const { app, url } = await serve({ controllers, adapter: adapter(), locks: { driver, elections, instance } });
    await knownLeader(app);
    const { headers } = await fetch(`${url}/admin/sync/7`);
    expect([headers.get('x-leader'), headers.get('retry-after')]).toEqual(['http://10.0.0.1:3000', '5']);
  });

  it('name no leader where none is known', async () => {
    const elections = [{ autoCampaign: false }];
    const { url } = await serve({ controllers, adapter: adapter(), locks: { driver, elections } });
    const refused = await fetch(`${url}/admin/sync/7`);
    expect([refused.status, refused.headers.has('x-leader')]).toEqual([503, false]);
  });
});

describe('@LeaderOnly on message handlers', () => {
  const handled = vi.fn();

  @Controller()
  class Messages {
    @MessagePattern('above')
    @LeaderOnly()
    async above(@Payload() id: string): Promise<string> {
      return `above ${id}`;
    }

    @LeaderOnly()
    @MessagePattern('below')
    async below(@Payload() id: string): Promise<string> {
      return `below ${id}`;
    }

    @LeaderOnly()
    @EventPattern('event')
    async event(@Payload() id: string): Promise<void> {
      handled(id);
    }

    @MessagePattern('open')
    open(@Payload() id: string): string {
      return `open ${id}`;
    }
  }

  @LeaderOnly()
  @Controller()
  class AllMessages {
    @MessagePattern('sync')
    sync(@Payload() id: string): string {
      return `sync ${id}`;
    }

    @MessagePattern('stream')
    stream(@Payload() id: string): Observable<string> {
      return of(`stream ${id}`);
    }
  }

  async function tcpFollower(logger = new RecordingLogger()) {
    const served = await serveFollower({ controllers: [Messages, AllMessages], logger });
    return { ...served, client: await connectTcp(served.app) };
  }

  it.each(['above', 'below', 'sync', 'stream'])(
    '%s: rejects with who leads, and answers on the leader',
    async (pattern) => {
      const { client, promote } = await tcpFollower();
      await expect(client.send(pattern, '7')).rejects.toMatchObject({
        status: 'error',
        statusCode: 503,
        code: 'NOT_LEADER',
        message: 'This instance cannot answer the request. Try again later.',
        leader: { url: 'http://leader' },
      });
      expect(await client.send('open', '7')).toBe('open 7');
      await promote();
      expect(await client.send(pattern, '7')).toBe(`${pattern} 7`);
    },
  );

  it('are refused in an application without HTTP, too', async () => {
    const other = await startLeader(driver, { url: 'http://leader' });
    const locks = { driver, instance: { allowedUrls: ['http://leader'] } };
    const { app, client } = await serveTcp({ controllers: [Messages, AllMessages], locks });
    await knownLeader(app);
    await expect(client.send('sync', '7')).rejects.toMatchObject({ statusCode: 503, leader: { url: 'http://leader' } });
    await other.close();
    await leading(app);
    expect(await client.send('sync', '7')).toBe('sync 7');
  });

  it('an event is an error on a follower, never done in silence, and reaches the leader', async () => {
    handled.mockClear();
    const logger = new RecordingLogger();
    const { client, promote } = await tcpFollower(logger);
    await client.emit('event', '7');
    await logger.line('error', /does not lead election/);
    await promote();
    await client.emit('event', '8');
    await vi.waitUntil(() => handled.mock.calls.length > 0);
    expect(handled.mock.calls).toEqual([['8']]);
  });
});

describe('@LeaderOnly on background work', () => {
  const ran = new Set<string>();

  @Injectable()
  class Jobs {
    @Cron('0 0 1 1 *', { name: 'cron' })
    @LeaderOnly()
    async cron(): Promise<void> {
      ran.add('cron');
    }

    @LeaderOnly()
    @Interval('interval', 20)
    async interval(): Promise<void> {
      ran.add('interval');
    }

    @OnEvent('paid')
    @LeaderOnly()
    async paid(id: string): Promise<void> {
      ran.add(`paid ${id}`);
    }
  }

  @LeaderOnly()
  @Injectable()
  class AllJobs {
    @Cron('0 0 1 1 *', { name: 'cron' })
    cron(): void {
      ran.add('cron');
    }

    @Interval('interval', 20)
    interval(): void {
      ran.add('interval');
    }

    @OnEvent('paid')
    paid(id: string): void {
      ran.add(`paid ${id}`);
    }
  }

  @Injectable()
  class InheritedJobs extends AllJobs {}

  /** The same without a gate: shows that everything fires, and when the intervals have. */
  @Injectable()
  class Control {
    #round = new Step();

    @Cron('0 0 1 1 *', { name: 'control cron' })
    cron(): void {
      ran.add('control cron');
    }

    @Interval('control interval', 20)
    interval(): void {
      ran.add('control interval');
      void this.#round.run();
    }

    @OnEvent('paid')
    paid(id: string): void {
      ran.add(`control paid ${id}`);
    }

    async nextRound(): Promise<void> {
      this.#round = new Step();
      await this.#round.begun;
    }
  }

  const CONTROL = ['control cron', 'control interval', 'control paid 7'];

  /** What runs when everything fires. */
  async function fire(app: INestApplication): Promise<string[]> {
    ran.clear();
    for (const job of app.get(SchedulerRegistry).getCronJobs().values()) await job.fireOnTick();
    await app.get(EventEmitter2).emitAsync('paid', '7');
    for (let round = 0; round < 2; round++) await app.get(Control).nextRound();
    return [...ran].sort();
  }

  it.each([Jobs, AllJobs, InheritedJobs])(
    '%o is skipped without an error on a follower, and runs on the leader',
    async (jobs) => {
      const logger = new RecordingLogger();
      const imports = [ScheduleModule.forRoot(), EventEmitterModule.forRoot()];
      const { app, promote } = await serveFollower({ imports, providers: [jobs, Control], logger });
      expect(await fire(app)).toEqual(CONTROL);
      await promote();
      expect(await fire(app)).toEqual([...CONTROL, 'cron', 'interval', 'paid 7']);
      expect(logger.texts('error')).toEqual([]);
    },
  );
});

describe('an event loop that was blocked past the renew deadline', () => {
  const RENEW_DEADLINE = 1000;

  @Injectable()
  class Reports {
    flag = false;
    readonly gated: string[] = [];

    constructor(readonly leader: LeaderService) {
      leader.isLeader$.subscribe((isLeader) => (this.flag = isLeader));
    }

    @LeaderOnly({ otherwise: 'skip' })
    async build(): Promise<void> {
      this.gated.push('by the clock');
    }

    buildByFlag(): void {
      if (this.flag) this.gated.push('by a flag');
    }
  }

  /** Neither timers nor replies run in this time. */
  function block(milliseconds: number): void {
    for (const until = performance.now() + milliseconds; performance.now() < until;);
  }

  it('finds a leader that does not lead any more: nothing runs that a flag would have let run', async () => {
    const elections = [{ leaseDuration: 2000, renewDeadline: RENEW_DEADLINE, retryPeriod: 200 }];
    const app = await start({ locks: { driver, elections }, providers: [Reports] });
    const leader = await leading(app);
    const reports = app.get(Reports);
    await reports.build();
    reports.buildByFlag();
    expect(reports.gated).toEqual(['by the clock', 'by a flag']);
    const { signal } = leader.assertLeader();

    block(RENEW_DEADLINE + 10);
    expect(leader.isLeader()).toBe(false);
    expect(leader.state).toMatchObject({ role: 'stepping-down', leader: null, term: null });
    expect(() => leader.assertLeader()).toThrow('does not lead election');
    const gatedByClock = reports.build();
    reports.buildByFlag();
    await gatedByClock;
    expect(reports.gated).toEqual(['by the clock', 'by a flag', 'by a flag']);

    // The news follows, and then a new term.
    await vi.waitUntil(() => signal.aborted);
    await leading(app);
    await reports.build();
    expect(reports.gated.at(-1)).toBe('by the clock');
  });
});
