import { DriverUnavailableError, LockConfigError, LockNotAcquiredError } from 'nestjs-dist-lock';
import { beforeEach, describe, expect, it } from 'vitest';
import { Engine, outcome, request } from '../../support/engine/engine.js';

// Rules S6 and S10 of docs/internals/safety.md.
describe('waiting', () => {
  let engine: Engine;
  let peer: Engine;
  beforeEach(() => {
    engine = new Engine();
    peer = engine.peer();
  });

  it('gets the lock as soon as it is told that the key is free', async () => {
    const held = await peer.manager.acquire(request());
    const waiting = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(1234);
    expect(waiting.settled).toBe(false);
    await held.release();
    await engine.clock.advance(0);
    expect(waiting.value).toMatchObject({ held: true });
    expect(engine.eventTypes()).toEqual(['contended', 'acquired']);
    expect(engine.events).toMatchObject([{ heldBy: 'b' }, { waited: 1234 }]);
  });

  it('gets it by a jittered poll when the news is lost', async () => {
    engine.driver.deaf = true;
    const held = await peer.manager.acquire(request());
    const waiting = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(10);
    await held.release();
    await engine.clock.advance(750);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('follows a holder that died when its lease has run out', async () => {
    const held = await peer.manager.acquire(request({ ttl: 3000 }));
    peer.driver.unreachable = true;
    const waiting = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(2999);
    expect(waiting.settled).toBe(false);
    expect(held.held).toBe(false);
    await engine.clock.advance(20);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('serves the callers of one instance in the order of their arrival, and asks the store for the first only', async () => {
    const held = await peer.manager.acquire(request());
    const order: number[] = [];
    const done = Array.from({ length: 20 }, async (_, index) => {
      const lock = await engine.manager.acquire(request());
      order.push(index);
      await lock.release();
    });
    await engine.clock.advance(1);
    expect(engine.driver.callsOf('acquire')).toHaveLength(1);
    await held.release();
    await Promise.all(done);
    expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  it('gives up after the time to wait, and names the holder', async () => {
    await peer.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(engine.manager.acquire(request({ limit: { wait: 5000 } })));
    await engine.clock.advance(5000);
    expect(waiting.error).toBeInstanceOf(LockNotAcquiredError);
    expect(waiting.error).toMatchObject({
      key: 'k',
      waited: 5000,
      heldBy: 'b',
      statusCode: 409,
      heldHere: false,
      remaining: 55_000,
      message: expect.stringMatching(
        /^Lock "k" is held by instance b since [-\d]+T[\d:.]+Z, and its lease lasts for 55000 ms more unless it is renewed; gave up after 5000 ms\.$/,
      ) as string,
    });
  });

  it('tries as often as it was told to, and waits in between', async () => {
    await peer.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(engine.manager.acquire(request({ limit: { attempts: 3, retryDelay: 200 } })));
    await engine.clock.advance(1000);
    expect(engine.driver.callsOf('acquire').map(({ at }) => at)).toEqual([0, 200, 400]);
    expect(waiting.error).toBeInstanceOf(LockNotAcquiredError);
  });

  it('answers a single try with null', async () => {
    await peer.manager.acquire(request());
    expect(await engine.manager.tryAcquire(request({ limit: { attempts: 1, retryDelay: 1 } }))).toBeNull();
  });

  it('ends with the reason of the signal, and leaves nothing behind', async () => {
    const held = await peer.manager.acquire(request({ ttl: 60_000 }));
    const controller = new AbortController();
    const waiting = outcome(engine.manager.acquire(request({ signal: controller.signal })));
    await engine.clock.advance(100);
    controller.abort(new Error('client went away'));
    await engine.clock.advance(0);
    expect(waiting.error).toEqual(new Error('client went away'));
    await held.release();
    await engine.clock.advance(1000);
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
    const already = outcome(engine.manager.acquire(request({ signal: controller.signal })));
    await engine.clock.advance(0);
    expect(already.error).toEqual(new Error('client went away'));
  });

  it('lets the next caller in line ask when the first gives up', async () => {
    const held = await peer.manager.acquire(request({ ttl: 60_000 }));
    const first = outcome(engine.manager.acquire(request({ limit: { wait: 100 } })));
    const second = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(200);
    expect(first.error).toBeInstanceOf(LockNotAcquiredError);
    await held.release();
    await engine.clock.advance(0);
    expect(second.value).toMatchObject({ held: true });
  });
});

describe('a store that does not answer', () => {
  let engine: Engine;
  beforeEach(() => {
    engine = new Engine();
  });

  it('is retried until the time is over, and never taken for another holder', async () => {
    engine.driver.unreachable = true;
    const waiting = outcome(engine.manager.acquire(request({ limit: { wait: 5000 } })));
    await engine.clock.advance(5000);
    expect(waiting.error).toBeInstanceOf(DriverUnavailableError);
    expect(waiting.error).toMatchObject({ statusCode: 503 });
    expect(engine.driver.callsOf('acquire').length).toBeGreaterThan(5);
    expect(engine.driver.callsOf('cancel')).toEqual([]);
  });

  it('is used as soon as it is back', async () => {
    engine.driver.unreachable = true;
    const waiting = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(2000);
    engine.driver.unreachable = false;
    await engine.clock.advance(1000);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('bounds a call that hangs by the time to wait, and cancels it', async () => {
    engine.driver.next('acquire', { loseRequest: 1e6 });
    const waiting = outcome(engine.manager.acquire(request({ limit: { wait: 500 } })));
    await engine.clock.advance(500);
    expect(waiting.error).toBeInstanceOf(DriverUnavailableError);
    expect((waiting.error as Error).message).toBe('Lock "k": faulty did not answer within 500 ms.');
    expect(engine.driver.callsOf('cancel')[0]!.holders).toEqual(engine.driver.callsOf('acquire')[0]!.holders);
  });

  it('is not retried when only a change of configuration helps', async () => {
    engine.driver.next('acquire', { reject: new LockConfigError('NOPERM') });
    await expect(engine.manager.acquire(request())).rejects.toThrow(LockConfigError);
    expect(engine.driver.callsOf('cancel')).toEqual([]);
  });
});

describe('an unknown outcome', () => {
  let engine: Engine;
  beforeEach(() => {
    engine = new Engine();
  });

  it('is resolved by asking again with the same holder', async () => {
    engine.driver.next('acquire', { loseAnswer: 100 });
    const waiting = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(200);
    const [first, second] = engine.driver.callsOf('acquire');
    expect(second!.holders).toEqual(first!.holders);
    expect(waiting.value).toMatchObject({ held: true });
    expect(waiting.value!.remaining).toBeLessThanOrEqual(3000 - (engine.clock.now() - second!.at));
  });

  it('is cancelled, until answered, when the caller gives up', async () => {
    engine.driver.next('acquire', { loseAnswer: 100 });
    engine.driver.next('cancel', { loseRequest: 50 }, { loseRequest: 50 });
    await expect(
      (async () => {
        const acquired = engine.manager.acquire(request({ limit: { attempts: 1, retryDelay: 1 } }));
        const state = outcome(acquired);
        await engine.clock.advance(100);
        if (state.error) throw state.error;
      })(),
    ).rejects.toBeInstanceOf(DriverUnavailableError);
    expect(await engine.manager.inspect('test:l:k')).not.toBeNull();
    await engine.clock.advance(1000);
    expect(engine.driver.callsOf('cancel')).toHaveLength(3);
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });

  it('is cancelled so that a request which arrives later is refused', async () => {
    engine.driver.next('acquire', { loseRequest: 100, executeLate: 2000 });
    const waiting = outcome(engine.manager.acquire(request({ limit: { attempts: 1, retryDelay: 1 } })));
    await engine.clock.advance(500);
    expect(waiting.error).toBeInstanceOf(DriverUnavailableError);
    await engine.clock.advance(2000);
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });

  it('leaves a lock that has to be cancelled, not just released, because the first request may arrive late', async () => {
    engine.driver.next('acquire', { loseRequest: 100, executeLate: 5000 });
    const waiting = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(1000);
    await waiting.value!.release();
    expect(engine.driver.callsOf('release')).toHaveLength(0);
    expect(engine.driver.callsOf('cancel')).toHaveLength(1);
    await engine.clock.advance(10_000);
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });

  it.each<[string, Error, 'cancel' | 'release']>([
    ['that is no error of ours', new Error('The connection was lost.'), 'cancel'],
    ['that says "sent"', new DriverUnavailableError('No answer in time.', { sent: true }), 'cancel'],
    ['that says "not sent"', new DriverUnavailableError('Not connected.', { sent: false }), 'release'],
  ])('is one after a rejection, unless that says otherwise: one %s', async (_, reject, ending) => {
    engine.driver.next('acquire', { reject });
    const acquired = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(200);
    await acquired.value!.release();
    expect(engine.driver.calls.map(({ call }) => call)).toEqual(['acquire', 'acquire', ending]);
  });

  it('control: a plain release lets the late request take the key for nobody', async () => {
    engine.driver.next('acquire', { loseRequest: 100, executeLate: 5000 });
    engine.driver.cancel = async (claim) => void (await engine.driver.release(claim));
    const waiting = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(1000);
    await waiting.value!.release();
    await engine.clock.advance(4500);
    expect(await engine.manager.inspect('test:l:k')).not.toBeNull();
  });

  it('does not lose sight of a grant whose confirmation could not be sent', async () => {
    engine.driver.next(
      'acquire',
      { answerAfter: 2500 },
      { reject: new DriverUnavailableError('down', { sent: false }) },
      { reject: new DriverUnavailableError('down', { sent: false }) },
    );
    const waiting = outcome(engine.manager.acquire(request({ limit: { attempts: 1, retryDelay: 1 } })));
    await engine.clock.advance(3000);
    expect(waiting.error).toBeInstanceOf(DriverUnavailableError);
    expect(engine.driver.callsOf('cancel')).toHaveLength(1);
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });
});

describe('release', () => {
  let engine: Engine;
  beforeEach(() => {
    engine = new Engine();
  });

  it('is idempotent and never rejects', async () => {
    const lock = await engine.manager.acquire(request());
    await Promise.all([lock.release(), lock.release()]);
    await lock.release();
    expect(engine.driver.callsOf('release')).toHaveLength(1);
    expect(lock.held).toBe(false);
    expect(lock.signal.aborted).toBe(false);
  });

  it('resolves after the first try, and goes on in the background until answered', async () => {
    const lock = await engine.manager.acquire(request());
    engine.driver.next('release', { loseRequest: 100 }, { loseRequest: 100 });
    const released = outcome(lock.release());
    await engine.clock.advance(100);
    expect(released).toEqual({ settled: true, value: undefined });
    expect(await engine.manager.inspect('test:l:k')).not.toBeNull();
    await engine.clock.advance(500);
    expect(engine.driver.callsOf('release')).toHaveLength(3);
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });

  it('is given up when the lease must have run out', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000 }));
    engine.driver.unreachable = true;
    await lock.release();
    await engine.clock.advance(3000 + 1000);
    const tries = engine.driver.callsOf('release').length;
    await engine.clock.advance(60_000);
    expect(engine.driver.callsOf('release')).toHaveLength(tries);
  });

  it('is repeated though the one by which it was seen that the store is down was given up', async () => {
    const long = await engine.manager.acquire(request({ ttl: 60_000 }));
    const short = await engine.manager.acquire(request({ key: 'short', storeKey: 'test:l:short', ttl: 600 }));
    const down = { reject: new Error('down') };
    engine.driver.next('release', down, down, { loseRequest: 1000 });
    void long.release();
    void short.release();
    await engine.clock.advance(2500);
    expect(await engine.store.inspect('test:l:k')).toBeNull();
  });

  it('that is refused for good is told to an operator, once until another one was taken back', async () => {
    const told = expect.stringMatching(/^The store refuses to .*until its TTL has run out\. NOPERM$/) as string;
    const release = async (key: string): Promise<void> => {
      await (await engine.manager.acquire(request({ key, storeKey: `test:l:${key}` }))).release();
    };
    const refused = { reject: new LockConfigError('NOPERM') };
    engine.driver.next('release', refused, refused);
    await release('a');
    await release('b');
    expect(engine.warnings).toEqual([told]);
    await release('c');
    engine.driver.next('release', refused);
    await release('d');
    expect(engine.warnings).toEqual([told, told]);
  });

  it('is not repeated when only a change of configuration helps', async () => {
    const lock = await engine.manager.acquire(request());
    engine.driver.next('release', { reject: new LockConfigError('No permission.') });
    await lock.release();
    await engine.clock.advance(3000);
    expect(engine.driver.callsOf('release')).toHaveLength(1);
  });

  it('whose answer is lost is retried without touching the successor', async () => {
    const peer = engine.peer();
    const lock = await engine.manager.acquire(request());
    engine.driver.next('release', { loseAnswer: 100 });
    const released = lock.release();
    const successor = await peer.manager.acquire(request());
    await engine.clock.advance(1000);
    await released;
    expect(engine.driver.callsOf('release')).toHaveLength(2);
    expect(successor.held).toBe(true);
    expect((await engine.manager.inspect('test:l:k'))!.fencingToken).toBe(successor.fencingToken);
  });

  it('after an expiry still frees a lease that a late renewal re-armed', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000 }));
    const lost = { loseRequest: 1e6 };
    engine.driver.next('renew', { ...lost, executeLate: 1900 }, lost, lost, lost, lost, lost, lost);
    await engine.clock.advance(2950);
    engine.clock.block(50);
    await engine.clock.advance(10);
    expect(lock.held).toBe(false);
    await lock.release();
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
    expect(engine.eventTypes()).not.toContain('released');
  });

  it('that comes after the end, before any timer has told of it, is of a lock that was lost', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000 }));
    const { signal } = lock;
    engine.clock.block(3000);
    await lock.release();
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'expired' });
    expect(engine.eventTypes()).toEqual(['acquired', 'lost']);
  });

  it('works with await using', async () => {
    {
      await using lock = await engine.manager.acquire(request());
      expect(lock.held).toBe(true);
    }
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });
});
