// A replica with jobs of 1 ms, every other second, whose wall clock is wrong by a given time. Each job is kept from running
// on every replica by other means. Writes one line of JSON for each run.
// Arguments: Redis URL, id, milliseconds that the clock is ahead.
const [, , url, id, ahead] = process.argv;

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
const { DistLockModule, LeaderOnly, LeaderService, OncePerTick, WithLock } = await import('nestjs-dist-lock');
const { RedisDriver } = await import('nestjs-dist-lock/redis');
const { filter, firstValueFrom } = await import('rxjs');

const PERIOD = 2000;
const write = (line) => process.stdout.write(`${JSON.stringify({ id, ...line })}\n`);

const GUARDS = {
  holdAtLeast: WithLock('hold', { otherwise: 'skip', holdAtLeast: PERIOD / 2 }),
  oncePerTick: OncePerTick(),
  leaderOnly: LeaderOnly(),
  // Controls.
  skip: WithLock('skip', { otherwise: 'skip' }),
  nothing: () => undefined,
};

class Jobs {}
for (const [name, guard] of Object.entries(GUARDS)) {
  const job = async () => {
    // Without help of the package: a tick belongs to the instant that its clock is nearest to.
    const instant = Math.round(Date.now() / PERIOD) * PERIOD;
    await new Promise((resolve) => setTimeout(resolve, 1));
    write({ job: name, instant });
  };
  const method = { value: job, writable: true, configurable: true, enumerable: false };
  Object.defineProperty(
    Jobs.prototype,
    name,
    Reflect.decorate([Cron('*/2 * * * * *'), guard], Jobs.prototype, name, method),
  );
}

class App {}
Module({
  imports: [
    ScheduleModule.forRoot(),
    DistLockModule.forRoot({ driver: new RedisDriver({ url }), namespace: 'test', instance: { id } }),
  ],
  providers: [Jobs],
})(App);

const app = await NestFactory.createApplicationContext(App, { logger: false });
app.enableShutdownHooks();
await firstValueFrom(app.get(LeaderService).leader$.pipe(filter((leader) => leader !== null)));
write({ job: 'ready', instant: Date.now() });
