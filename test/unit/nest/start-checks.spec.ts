import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { Cron, Interval, Timeout } from '@nestjs/schedule';
import { DistLockModule, LeaderOnly, OncePerTick, WithLock } from 'nestjs-dist-lock';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { serve, start } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';

const ONCE = 'Add @OncePerTick(), which runs each tick on one of them, or @LeaderOnly().';
const LEADER = 'Add @LeaderOnly(), which runs the job on one of them.';

function waits(method: string, repair: string): string {
  return (
    `@WithLock on the scheduled method ${method} waits for the lock, so every replica runs the job, one after the other. ` +
    repair
  );
}

function skips(method: string, repair: string): string {
  return (
    `@WithLock on the scheduled method ${method} leaves out a run only while another one goes on. Replicas whose clocks ` +
    `differ by more than the job takes all run it. ${repair} Or give the lock holdAtLeast, longer than clocks differ.`
  );
}

describe('a scheduled method with a lock', () => {
  @Injectable()
  class Waiting {
    @Cron('0 2 * * *')
    @WithLock('job')
    async cron(): Promise<void> {}

    @WithLock('job', { wait: '1m' })
    @Interval(3_600_000)
    async interval(): Promise<void> {}

    @WithLock('job', { otherwise: 'wait' })
    @Timeout(3_600_000)
    async timeout(): Promise<void> {}

    @WithLock('job')
    async base(): Promise<void> {}
  }

  @Injectable()
  class Overriding extends Waiting {
    @Cron('0 3 * * *')
    @WithLock('job')
    override async base(): Promise<void> {}

    @Cron('0 2 * * *')
    @WithLock('job', { otherwise: 'skip' })
    override async cron(): Promise<void> {}
  }

  @Injectable()
  class Skipping {
    @Cron('0 2 * * *')
    @WithLock('job', { otherwise: 'skip' })
    async cron(): Promise<void> {}

    @WithLock('job', { otherwise: 'reject' })
    @Cron('0 2 * * *')
    async rejecting(): Promise<void> {}

    @Interval(3_600_000)
    @WithLock('job', { otherwise: 'skip', maxHold: '1m' })
    async interval(): Promise<void> {}

    @WithLock('job', { otherwise: 'skip' })
    @Timeout(3_600_000)
    async timeout(): Promise<void> {}

    @Cron('0 2 * * *')
    @WithLock('job', { holdAtLeast: '10s' })
    async waitsForEach(): Promise<void> {}
  }

  @Injectable()
  class Fine {
    @Cron('0 2 * * *')
    @WithLock('job', { otherwise: 'skip', holdAtLeast: '10s' })
    async holds(): Promise<void> {}

    @Interval(3_600_000)
    @WithLock('job', { otherwise: 'reject', holdAtLeast: '10s' })
    async throws(): Promise<void> {}

    @Cron('0 2 * * *')
    @OncePerTick()
    @WithLock('job', { otherwise: 'skip' })
    async once(): Promise<void> {}

    @WithLock('job')
    @Cron('0 2 * * *')
    @OncePerTick()
    async onceToo(): Promise<void> {}

    @Cron('0 2 * * *')
    @LeaderOnly()
    @WithLock('job', { otherwise: 'skip' })
    async leadsAndSkips(): Promise<void> {}

    @Cron('0 2 * * *')
    @WithLock('job')
    @LeaderOnly()
    async leads(): Promise<void> {}

    @LeaderOnly()
    @WithLock('job')
    @Cron('0 2 * * *')
    async leadsToo(): Promise<void> {}

    @Cron('0 2 * * *')
    @OncePerTick()
    @WithLock('job')
    async onOne(): Promise<void> {}

    @Cron('0 2 * * *')
    @WithLock('job')
    @OncePerTick()
    async onOneToo(): Promise<void> {}

    @OnEvent('e')
    @WithLock('job')
    async event(): Promise<void> {}

    @WithLock('job')
    async called(): Promise<void> {}
  }

  @LeaderOnly()
  @Injectable()
  class FineTogether {
    @Cron('0 2 * * *')
    @WithLock('job')
    async leads(): Promise<void> {}
  }

  async function warnings(...providers: (new () => object)[]): Promise<string[]> {
    const logger = new RecordingLogger();
    await start({ providers, logger, imports: [DistLockModule.forRoot({ name: 'orders' })] });
    return logger.texts('warn');
  }

  it('is warned of, once, with both repairs', async () => {
    expect(await warnings(Waiting)).toEqual(
      ['cron', 'interval', 'timeout'].map((name) => waits(`Waiting.${name}`, name === 'cron' ? ONCE : LEADER)),
    );
  });

  it('is warned of where it does not wait, because a lock keeps nobody from running a tick again', async () => {
    expect(await warnings(Skipping)).toEqual([
      skips('Skipping.cron', ONCE),
      skips('Skipping.rejecting', ONCE),
      skips('Skipping.interval', LEADER),
      skips('Skipping.timeout', LEADER),
      waits('Skipping.waitsForEach', ONCE),
    ]);
  });

  it('is warned of in the class that Nest runs, which may override it', async () => {
    expect(await warnings(Overriding)).toEqual([
      waits('Overriding.base', ONCE),
      skips('Overriding.cron', ONCE),
      waits('Overriding.interval', LEADER),
      waits('Overriding.timeout', LEADER),
    ]);
  });

  it('is fine where each tick runs on one replica by other means, or the method is not scheduled', async () => {
    expect(await warnings(Fine, FineTogether)).toEqual([]);
  });

  it('is warned of by the registration that it locks in', async () => {
    @Injectable()
    class Named {
      @Cron('0 2 * * *')
      @WithLock('job', { registration: 'orders' })
      async run(): Promise<void> {}
    }
    const logger = new RecordingLogger();
    await start({ providers: [Named], logger, imports: [DistLockModule.forRoot({ name: 'orders' })] });
    expect(logger.lines.filter(({ level }) => level === 'warn')).toEqual([
      { level: 'warn', text: waits('Named.run', ONCE), context: 'DistLock(orders)' },
    ]);
  });
});

describe('shutdown hooks', () => {
  const WARNING =
    'Shutdown hooks are not enabled: when this process is stopped, its locks and its leadership are not handed over ' +
    'but end with their TTL. Call app.enableShutdownHooks() in main.ts. A process that is no replica, such as a console ' +
    'command, is started with DIST_LOCK_OBSERVE_ONLY=1.';
  const logger = new RecordingLogger();

  beforeEach(() => {
    logger.lines.length = 0;
    vi.stubEnv('NODE_ENV', 'development');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllEnvs();
  });

  /** What is warned of within a minute after the start. */
  async function warned(): Promise<string[]> {
    await vi.advanceTimersByTimeAsync(60_000);
    return logger.texts('warn');
  }

  it('that are not enabled are warned of soon after the start', async () => {
    await start({ logger });
    expect(logger.texts('warn')).toEqual([]);
    expect(await warned()).toEqual([WARNING]);
  });

  it('may be enabled before the application has started', async () => {
    await serve({ logger }, (app) => app.enableShutdownHooks());
    expect(await warned()).toEqual([]);
  });

  it('may be enabled just after', async () => {
    const { app } = await serve({ logger });
    app.enableShutdownHooks();
    expect(await warned()).toEqual([]);
  });

  it.each<[string, () => void]>([
    ['a tracing library before the start', () => undefined],
    ['a library with a method of a similar name', function shutdown() {}],
  ])('are missed also where %s listens to the signal', async (_who, listener) => {
    process.on('SIGTERM', listener);
    onTestFinished(() => void process.off('SIGTERM', listener));
    await start({ logger });
    process.prependOnceListener('SIGTERM', listener);
    onTestFinished(() => void process.off('SIGTERM', listener));
    expect(await warned()).toEqual([WARNING]);
  });

  it('are found where another library listens to the signal, too', async () => {
    const listener = (): void => undefined;
    process.on('SIGTERM', listener);
    onTestFinished(() => void process.off('SIGTERM', listener));
    await serve({ logger }, (app) => app.enableShutdownHooks());
    expect(await warned()).toEqual([]);
  });

  it('of another signal do not count', async () => {
    await serve({ logger }, (app) => app.enableShutdownHooks(['SIGINT']));
    expect(await warned()).toEqual([WARNING]);
  });

  it('of another application do not count', async () => {
    await serve({}, (app) => app.enableShutdownHooks());
    await start({ logger });
    expect(await warned()).toEqual([WARNING]);
  });

  it('leave no listener behind', async () => {
    const before = process.listenerCount('newListener');
    await start({ logger });
    await serve({ logger }, (app) => app.enableShutdownHooks());
    expect(process.listenerCount('newListener')).toBe(before + 2);
    await warned();
    expect(process.listenerCount('newListener')).toBe(before);
    const closed = await start({ logger });
    await closed.close();
    expect(process.listenerCount('newListener')).toBe(before);
  });

  it('do not matter to a process that only observes', async () => {
    await start({ logger, locks: { observeOnly: true } });
    expect(await warned()).toEqual([]);
  });

  it('do not matter to an application that has ended by itself', async () => {
    const app = await start({ logger });
    await app.close();
    expect(await warned()).toEqual([]);
  });

  it('do not matter in a test', async () => {
    vi.stubEnv('NODE_ENV', 'test');
    await start({ logger });
    expect(await warned()).toEqual([]);
  });
});
