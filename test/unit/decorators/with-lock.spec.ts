import { Injectable, SetMetadata } from '@nestjs/common';
import {
  bindDistLock,
  CurrentLock,
  currentLock,
  type Lock,
  LockConfigError,
  LockNotAcquiredError,
  LockNotBoundError,
  LockService,
  LockServiceClosedError,
  NestedLockError,
  WithLock,
  type WithLockOptions,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom } from 'rxjs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { start } from '../../support/nest/app.js';
import { Step } from '../../support/nest/step.js';

@Injectable()
class Orders {
  readonly name = 'the orders';

  @WithLock('order:{0}')
  async charge(id: string, amount = 10): Promise<string> {
    return `${this.name} ${id} ${amount} under ${currentLock()?.key}`;
  }

  @WithLock('broken')
  broken(): Promise<void> {
    throw new TypeError('thrown, not rejected');
  }

  @WithLock('token')
  async token(@CurrentLock() lock?: Lock): Promise<Lock | undefined> {
    expect(lock).toBe(currentLock());
    return lock;
  }

  @WithLock('late')
  async late(id: string, note?: string, @CurrentLock() lock?: Lock): Promise<unknown[]> {
    return [id, note, lock?.key];
  }

  @WithLock('outer')
  async outer(): Promise<(string | undefined)[]> {
    return this.inner();
  }

  @WithLock('inner')
  async inner(): Promise<(string | undefined)[]> {
    return [currentLock()?.key, currentLock('outer')?.key, currentLock('other')?.key];
  }

  @WithLock('busy')
  async waits(): Promise<string> {
    return 'ran';
  }

  @WithLock('busy', { wait: '250ms' })
  async waitsBriefly(): Promise<string> {
    return 'ran';
  }

  @WithLock('busy', { attempts: 3, retryDelay: 20 })
  async triesThreeTimes(): Promise<string> {
    return 'ran';
  }

  @WithLock('busy', { otherwise: 'reject' })
  async throws(): Promise<string> {
    return 'ran';
  }

  @WithLock('busy', { otherwise: 'skip' })
  async skips(): Promise<string | undefined> {
    return 'ran';
  }

  @WithLock('skip', { otherwise: 'skip' })
  async skipsAndFails(error: Error): Promise<void> {
    throw error;
  }

  @WithLock('self')
  async nested(): Promise<unknown> {
    return this.nested();
  }

  @WithLock('self', { reentrant: true })
  async countDown(from: number): Promise<number[]> {
    const token = currentLock()!.fencingToken;
    return from === 0 ? [token] : [token, ...(await this.countDown(from - 1))];
  }
}

async function orders(driver = new MemoryDriver()): Promise<{ orders: Orders; locks: LockService }> {
  const app = await start({ locks: { driver }, providers: [Orders] });
  return { orders: app.get(Orders), locks: app.get(LockService) };
}

/** The service, and the lock that its contended methods ask for, held by another replica. */
async function contended() {
  const driver = new MemoryDriver();
  const other = await start({ locks: { driver, instance: { id: 'the-holder' } } });
  const lock = await other.get(LockService).acquire('busy');
  onTestFinished(() => lock.release());
  return { ...(await orders(driver)), lock };
}

/** Resolves when a caller finds a lock taken. */
function contention(locks: LockService): Promise<unknown> {
  return firstValueFrom(locks.events$.pipe(filter(({ type }) => type === 'contended')));
}

/** What a decorator refuses when it is applied to a method. */
function decorateWith(options: object): void {
  class Jobs {
    @WithLock('k', options as WithLockOptions & { otherwise?: 'wait' })
    async run(): Promise<void> {}
  }
  void Jobs;
}

// Rule S11 of docs/internals/safety.md.
describe('a method under @WithLock', () => {
  it('keeps its name, its length and its metadata, whichever decorator comes first', () => {
    const Above = SetMetadata('above', 1);
    const Below = SetMetadata('below', [2]);
    class Service {
      @Above
      @WithLock('k')
      @Below
      async run(_one: string, _two: number, _three = 3): Promise<void> {}
    }
    const { run } = Service.prototype;
    expect([run.name, run.length]).toEqual(['run', 2]);
    expect([Reflect.getMetadata('above', run), Reflect.getMetadata('below', run)]).toEqual([1, [2]]);
  });

  it('gets its arguments and its object, and its result goes to the caller', async () => {
    const { orders: service } = await orders();
    expect(await service.charge('42')).toBe('the orders 42 10 under order:42');
    expect(await service.charge('43', 20)).toBe('the orders 43 20 under order:43');
  });

  it('rejects where the method throws before it returns a promise', async () => {
    const { orders: service, locks } = await orders();
    const broken = service.broken();
    await expect(broken).rejects.toThrow(new TypeError('thrown, not rejected'));
    expect(await locks.describe('broken')).toBeNull();
  });

  it('holds the lock for exactly as long as it runs', async () => {
    const { orders: service, locks } = await orders();
    const calls: string[] = [];
    locks.events$.subscribe((event) => calls.push(`${event.type} ${'key' in event ? event.key : ''}`));
    await service.charge('42');
    expect(calls).toEqual(['acquired order:42', 'released order:42']);
  });

  it('runs one call at a time for a key, and calls for other keys beside it', async () => {
    const entered: string[] = [];
    const first = new Step();
    @Injectable()
    class Slow {
      @WithLock('k:{0}')
      async run(id: string, step?: Step): Promise<void> {
        entered.push(id);
        await step?.run();
      }
    }
    const app = await start({ providers: [Slow] });
    const slow = app.get(Slow);
    const second = contention(app.get(LockService));
    const runs = [slow.run('a', first), slow.run('a')];
    await slow.run('b');
    await second;
    expect(entered).toEqual(['a', 'b']);
    first.end();
    await Promise.all(runs);
    expect(entered).toEqual(['a', 'b', 'a']);
  });

  it('fails at once where its own call chain holds the lock', async () => {
    const { orders: service } = await orders();
    await expect(service.nested()).rejects.toThrow(NestedLockError);
  });

  it('shares one lock with its own call chain where it is reentrant', async () => {
    const { orders: service, locks } = await orders();
    const acquired = vi.fn();
    locks.events$.pipe(filter(({ type }) => type === 'acquired')).subscribe(acquired);
    const tokens = await service.countDown(3);
    expect(tokens).toHaveLength(4);
    expect(new Set(tokens).size).toBe(1);
    expect(acquired).toHaveBeenCalledOnce();
  });
});

describe('@CurrentLock()', () => {
  it('brings the lock, and so does currentLock()', async () => {
    const { orders: service } = await orders();
    const lock = (await service.token())!;
    expect(lock.key).toBe('token');
    expect(lock.fencingToken).toBeGreaterThan(0);
    expect(lock.signal).toBeInstanceOf(AbortSignal);
    expect(lock.held).toBe(false);
    expect(currentLock()).toBeUndefined();
  });

  it('fills its own place, whatever the caller passed', async () => {
    const { orders: service } = await orders();
    const forged = { key: 'forged' } as Lock;
    expect(await service.late('a')).toEqual(['a', undefined, 'late']);
    expect(await service.late('a', 'b', forged)).toEqual(['a', 'b', 'late']);
  });

  it('does not touch the arguments of a method that overrides the one it stands in', async () => {
    @Injectable()
    class Special extends Orders {
      @WithLock('special')
      override async late(id: string, note?: string, extra?: unknown): Promise<unknown[]> {
        return [id, note, extra];
      }
    }
    const app = await start({ providers: [Special] });
    expect(await app.get(Special).late('a', 'b', 'c')).toEqual(['a', 'b', 'c']);
  });

  it('may stand in several places', async () => {
    @Injectable()
    class Twice {
      @WithLock('k')
      async run(@CurrentLock() one?: Lock, @CurrentLock() two?: Lock): Promise<boolean> {
        return one !== undefined && one === two;
      }
    }
    const app = await start({ providers: [Twice] });
    expect(await app.get(Twice).run()).toBe(true);
  });
});

describe('currentLock()', () => {
  it('is the innermost lock of the call chain, or that of a key', async () => {
    const { orders: service } = await orders();
    expect(await service.outer()).toEqual(['inner', 'outer', undefined]);
  });
});

describe('otherwise', () => {
  it('wait, the default: runs when the lock is free', async () => {
    const { orders: service, locks, lock } = await contended();
    const waiting = contention(locks);
    const result = service.waits();
    await waiting;
    await lock.release();
    expect(await result).toBe('ran');
  });

  it('wait: rejects when its time is over, and says who holds the lock', async () => {
    const { orders: service } = await contended();
    const error: LockNotAcquiredError = await service.waitsBriefly().catch((reason) => reason);
    expect(error).toBeInstanceOf(LockNotAcquiredError);
    expect(error).toMatchObject({ key: 'busy', heldBy: 'the-holder', code: 'LOCK_NOT_ACQUIRED', statusCode: 409 });
    expect(error.waited).toBeGreaterThanOrEqual(249);
    expect(error.message).toMatch(
      /^Lock "busy" is held by instance the-holder since [-\d]+T[\d:.]+Z, and its lease lasts for \d+ ms more .*; gave up after \d+ ms\.$/,
    );
  });

  it('wait, with a number of attempts: rejects when they are used up', async () => {
    const { orders: service } = await contended();
    const error: LockNotAcquiredError = await service.triesThreeTimes().catch((reason) => reason);
    expect(error).toBeInstanceOf(LockNotAcquiredError);
    expect(error.waited).toBeGreaterThanOrEqual(2 * 0.75 * 20);
  });

  it('throw: rejects at once', async () => {
    const { orders: service, lock } = await contended();
    const error: LockNotAcquiredError = await service.throws().catch((reason) => reason);
    expect(error).toBeInstanceOf(LockNotAcquiredError);
    expect(error.waited).toBeLessThan(5000);
    await lock.release();
    expect(await service.throws()).toBe('ran');
  });

  it('skip: resolves to undefined at once, without a call of the method', async () => {
    const { orders: service, lock } = await contended();
    expect(await service.skips()).toBeUndefined();
    await lock.release();
    expect(await service.skips()).toBe('ran');
  });

  it('skip: does not swallow what the method itself throws, a LockNotAcquiredError neither', async () => {
    const { orders: service } = await orders();
    for (const error of [new LockNotAcquiredError('skip', 5), new Error('failed')]) {
      await expect(service.skipsAndFails(error)).rejects.toBe(error);
    }
  });

  it('skip: does not swallow what is no contention', async () => {
    const app = await start({ providers: [Orders] });
    await app.close();
    await expect(app.get(Orders).skips()).rejects.toThrow(LockServiceClosedError);
  });
});

describe('a wrong option of @WithLock is refused where it is written', () => {
  it.each<[object, string]>([
    [{ ttl: '5x' }, `ttl: "5x" is not a duration. Use milliseconds (5000) or a string with a unit: '500ms'`],
    [{ ttl: 0 }, 'ttl: 0 is out of range. Use more than 0 and at most 24 days.'],
    [{ ttl: -1 }, 'ttl: -1 is out of range. Use more than 0 and at most 24 days.'],
    [{ ttl: '25d' }, 'ttl: "25d" is out of range. Use more than 0 and at most 24 days.'],
    [{ wait: 'ever' }, 'wait: "ever" is not a duration.'],
    [{ wait: 0 }, 'wait: 0 is no time to wait; use'],
    [{ wait: 5, attempts: 2 }, 'wait and attempts: give one of them, not both.'],
    [{ attempts: 0 }, 'attempts: expected a whole number above 0.'],
    [{ attempts: 1.5 }, 'attempts: expected a whole number above 0.'],
    [{ retryDelay: 5 }, 'retryDelay: has no effect without attempts.'],
    [{ metadata: { a: 1 } }, 'metadata: expected an object whose values are strings.'],
    [{ reentrant: 'yes' }, 'reentrant: expected a boolean.'],
    [{ signal: {} }, 'signal: expected an AbortSignal.'],
    [{ registration: 5 }, 'registration: expected a string.'],
    [{ otherwise: 'ignore' }, "otherwise: expected 'wait', 'skip' or 'reject'."],
    [{ otherwise: 'skip', wait: 5 }, "wait and attempts have no effect with otherwise: 'skip'."],
    [{ otherwise: 'reject', attempts: 5 }, "wait and attempts have no effect with otherwise: 'reject'."],
    [{ timeout: 5 }, 'timeout: unknown option. Known: ttl, metadata, reentrant, wait, '],
    [{ ttl: '1s', holdAtLeast: '2s' }, 'holdAtLeast: 2000 ms is longer than the ttl of 1000 ms, '],
    [{ holdAtLeast: '2s', maxHold: '1s' }, 'maxHold: 1000 ms must be longer than the holdAtLeast of 2000 ms.'],
  ])('%o', (options, text) => {
    const decorating = (): void => decorateWith(options);
    expect(decorating).toThrow(LockConfigError);
    expect(decorating).toThrow(`@WithLock on Jobs.run: ${text}`);
  });

  it.each([Number.NaN, Infinity])('{ wait: %d }', (wait) => {
    expect(() => decorateWith({ wait })).toThrow(
      /^@WithLock on Jobs.run: wait: \S+ is not a duration. Use milliseconds/,
    );
  });

  it('together with the others', () => {
    expect(() => decorateWith({ ttl: '5x', attempts: 0 })).toThrow(/ttl: "5x" .* attempts: expected/);
  });

  it('and so are a static method and a property', () => {
    const decorator = WithLock('k') as MethodDecorator;
    class Jobs {
      static async run(): Promise<void> {}
    }
    const message = '@WithLock on Jobs.run: only instance methods can be decorated.';
    expect(() => decorator(Jobs, 'run', Object.getOwnPropertyDescriptor(Jobs, 'run')!)).toThrow(
      new LockConfigError(message),
    );
    expect(() => decorator(Jobs.prototype, 'run', undefined as never)).toThrow(new LockConfigError(message));
    expect(() => decorator(Jobs.prototype, 'run', { get: () => Jobs.run })).toThrow(new LockConfigError(message));
  });
});

describe('an object that Nest did not create', () => {
  it('rejects and names the repair', async () => {
    await expect(new Orders().charge('42')).rejects.toThrow(
      new LockNotBoundError(
        '@WithLock on Orders.charge: this object has no LockService, because Nest did not create it. ' +
          'Let Nest create it, or give it the service with bindDistLock() in a unit test.',
      ),
    );
  });

  it('rejects where the method lost its object', async () => {
    const { orders: service } = await orders();
    const { charge } = service;
    await expect(charge('42')).rejects.toThrow(
      new LockNotBoundError(
        '@WithLock on Orders.charge: it was called without "this", as a detached function. Call it on its object, or bind it.',
      ),
    );
  });

  it('works with what bindDistLock() gives it', async () => {
    const service = bindDistLock(new Orders(), { locks: { withLock: async (_key, task) => task({} as Lock) } });
    expect(await service.charge('42')).toBe('the orders 42 10 under undefined');
  });

  it('works with a real LockService, too', async () => {
    const { locks } = await orders();
    expect(await bindDistLock(new Orders(), { locks }).charge('42')).toBe('the orders 42 10 under order:42');
  });

  it('asks for the registration that its decorators name', async () => {
    class Named {
      @WithLock('k', { registration: 'orders' })
      async run(): Promise<string> {
        return 'ran';
      }
    }
    const { locks } = await orders();
    await expect(bindDistLock(new Named(), { locks }).run()).rejects.toThrow(
      /this object has no LockService\(orders\)/,
    );
    expect(await bindDistLock(new Named(), { locks, registration: 'orders' }).run()).toBe('ran');
  });

  it('keeps what it was given first', async () => {
    const { orders: service } = await orders();
    bindDistLock(service, { locks: { withLock: () => Promise.reject(new Error('replaced')) } });
    expect(await service.charge('42')).toBe('the orders 42 10 under order:42');
  });
});
