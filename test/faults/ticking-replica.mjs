// A replica with a job of every other second, whose wall clock is wrong by a given time. Writes one line of JSON for whatever
// happens; a line that was written stays so, however the process ends.
// Arguments: Redis URL, id, milliseconds that the clock is ahead, and what keeps the job from running twice:
// 'claim' (@OncePerTick), 'nothing', or 'now': a claim for the time of the tick instead of the scheduled instant.
const [, , url, id, ahead, guard] = process.argv;

const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [Date.now()] : args));
  }
  static now() {
    return RealDate.now() + Number(ahead);
  }
};

// From here on everything believes in that clock.
const { Module } = await import('@nestjs/common');
const { NestFactory } = await import('@nestjs/core');
const { Cron, ScheduleModule } = await import('@nestjs/schedule');
const { DistLockModule, LockService, OncePerTick } = await import('nestjs-dist-lock');
const { RedisDriver } = await import('nestjs-dist-lock/redis');

const PERIOD = 2000;
const RUN = 600;
const write = (line) => process.stdout.write(`${JSON.stringify({ id, ...line })}\n`);
const driver = new RedisDriver({ url });

class Jobs {
  async tick() {
    const now = Date.now();
    if (guard === 'now' && (await driver.facts.advance('control:f:', 'job', now, id, 60_000)) !== 'mine') return;
    // Without help of the package: a tick belongs to the instant that its clock is nearest to.
    const instant = Math.round(now / PERIOD) * PERIOD;
    write({ type: 'begin', instant });
    await new Promise((resolve) => setTimeout(resolve, RUN));
    write({ type: 'end', instant });
  }
}

const decorators = [Cron('*/2 * * * * *'), ...(guard === 'claim' ? [OncePerTick()] : [])];
const descriptor = Reflect.decorate(
  decorators,
  Jobs.prototype,
  'tick',
  Object.getOwnPropertyDescriptor(Jobs.prototype, 'tick'),
);
Object.defineProperty(Jobs.prototype, 'tick', descriptor);

class App {}
Module({
  imports: [
    ScheduleModule.forRoot(),
    DistLockModule.forRoot({ driver, namespace: 'dist-lock', instance: { id }, lock: { ttl: 2000 } }),
  ],
  providers: [Jobs],
})(App);

const app = await NestFactory.createApplicationContext(App, { logger: false });
app.enableShutdownHooks();
app.get(LockService).events$.subscribe(({ type, instant, by }) => {
  if (type.startsWith('fire-')) write({ type, instant, by });
});
write({ type: 'ready' });
