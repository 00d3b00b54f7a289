// A process with nothing to do but what its argument names, over the memory driver. It says "done" when that has come to
// its end; whether it lives so long is the question.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DistLockModule, DriverUnavailableError, LockService } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';

const [scenario] = process.argv.slice(2);
const driver = new MemoryDriver();

async function replica(options = {}) {
  class AppModule {}
  Module({
    imports: [
      DistLockModule.forRoot({
        driver,
        namespace: 'dist-lock',
        elections: [],
        shutdown: { grace: '500ms' },
        ...options,
      }),
    ],
  })(AppModule);
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  return { app, locks: app.get(LockService) };
}

/** In a process that lives for another reason, or not at all. */
const soon = (task) => void setTimeout(() => task(), 500).unref();
const nameOf = (promise) =>
  promise.then(
    (lock) => (lock ? 'granted' : 'null'),
    (error) => error.name,
  );

const scenarios = {
  async 'waits behind a lock of its own'() {
    const { locks } = await replica();
    await locks.acquire('k');
    return nameOf(locks.acquire('k', { wait: 700 }));
  },
  async 'waits for ever'() {
    const { locks } = await replica();
    const lock = await locks.acquire('k');
    soon(() => lock.release());
    return nameOf(locks.acquire('k', { wait: 'forever' }));
  },
  async 'waits for another instance'() {
    const [{ locks: others }, { locks }] = [await replica(), await replica()];
    const lock = await others.acquire('k');
    soon(() => lock.release());
    return nameOf(locks.acquire('k'));
  },
  async 'tries several times'() {
    const [{ locks: others }, { locks }] = [await replica(), await replica()];
    const lock = await others.acquire('k');
    soon(() => lock.release());
    return nameOf(locks.acquire('k', { attempts: 4, retryDelay: 300 }));
  },
  async 'tries again what was not sent'() {
    const { locks } = await replica();
    driver.acquire = async () => {
      throw new DriverUnavailableError('The connection broke.', { sent: false });
    };
    return nameOf(locks.tryAcquire('k'));
  },
  async 'waits for a sibling that shares the lock'() {
    const { locks } = await replica();
    return locks.withLock('k', async () => {
      const lock = await locks.acquire('k', { reentrant: true });
      soon(() => lock.release());
      return nameOf(locks.acquire('k', { reentrant: true }));
    });
  },
  async 'closes while a lock is held'() {
    const { app, locks } = await replica();
    await locks.acquire('k');
    return nameOf(app.close());
  },
  async 'holds a lock'() {
    const { locks } = await replica();
    return nameOf(locks.acquire('k'));
  },
  async 'leads, and is a candidate'() {
    await replica({ elections: [{}] });
    await replica({ elections: [{}] });
    return 'started';
  },
  async 'has waited'() {
    const { locks } = await replica();
    const lock = await locks.acquire('k');
    await nameOf(locks.acquire('k', { wait: 100 }));
    await lock.release();
    return 'waited';
  },
};

const result = await scenarios[scenario]();
console.log(`done: ${result}`);
