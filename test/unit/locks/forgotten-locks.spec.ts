import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { describe, expect, it } from 'vitest';
import { CallSite, CallSites } from '../../../lib/locks/call-site.js';
import { Candidate } from '../../support/engine/candidate.js';
import { Engine, request } from '../../support/engine/engine.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const TTL = 3000;

describe('a lock that is held for long', () => {
  it('is reported once, after ten TTLs, with the place where it was acquired', async () => {
    const engine = new Engine();
    async function forgetful(): Promise<void> {
      await engine.manager.acquire(request({ callSite: new CallSite(inner) }));
    }
    function inner(): Promise<void> {
      return forgetful();
    }
    await inner();
    await engine.clock.advance(10 * TTL - 1);
    expect(engine.warnings).toEqual([]);
    await engine.clock.advance(1);
    expect(engine.warnings).toEqual([
      expect.stringMatching(
        /^Lock "k" has been held for 30 s by this instance, acquired at .*forgotten-locks\.spec\.ts/,
      ),
    ]);
    expect(engine.warnings[0]).toMatch(/await using.*withLock\(\)\. If it is meant .* raise lock\.warnAfter\.$/);
    await engine.clock.advance(100 * TTL);
    expect(engine.warnings).toHaveLength(1);
  });

  it('is not reported when it was released in time, or is lost, nor is a guarded call, nor a leader', async () => {
    const engine = new Engine();
    const lock = await engine.manager.acquire(request());
    const candidate = new Candidate(engine, 'a');
    await candidate.start();
    await engine.clock.advance(10 * TTL - 1);
    await lock.release();
    const guarded = engine.manager.withLock(request(), () => new Promise(() => undefined));
    guarded.catch(() => undefined);
    await engine.clock.advance(1_000_000);
    expect(engine.warnings).toEqual([]);
    expect(candidate.leader.isLeader()).toBe(true);
    await candidate.leader.stop();
  });

  it('is reported after the time that the options name, also a guarded call', async () => {
    const engine = new Engine(new ManualClock(), undefined, 'a', { warnAfter: 5000 });
    void engine.manager.withLock(request(), () => new Promise(() => undefined));
    await engine.clock.advance(2000);
    await engine.manager.acquire(request({ key: 'other', storeKey: 'test:l:other' }));
    await engine.clock.advance(3000);
    expect(engine.warnings).toEqual([
      expect.stringMatching(/^Lock "k" has been held for 5 s by this instance\. If it/),
    ]);
    await engine.clock.advance(2000);
    expect(engine.warnings[1]).toMatch(/^Lock "other" has been held for 5 s by this instance \(the next time/);
  });
});

describe('a handle that was collected', () => {
  /** A request whose place is noted: only such handles are watched. */
  const noted = (key: string) => request({ key, storeKey: `test:l:${key}`, callSite: new CallSite(collected) });

  async function collected(engine: Engine): Promise<void> {
    for (let round = 0; round < 50 && engine.warnings.length === 0; round++) {
      collectGarbage();
      await setImmediate();
    }
  }

  it('is reported, and its lock is kept: what it protects may still run', async () => {
    const engine = new Engine();
    await (async () => {
      await engine.manager.acquire(noted('k'));
    })();
    await collected(engine);
    expect(engine.warnings).toEqual([
      expect.stringMatching(/^Lock "k" was dropped without a release.*nobody can release it any more/),
    ]);
    await engine.clock.advance(100 * TTL);
    expect(engine.warnings).toHaveLength(1);
    expect(await engine.manager.inspect('test:l:k')).not.toBeNull();
  });

  it('is not reported when it was released, nor while somebody has it', async () => {
    const engine = new Engine();
    const kept = await engine.manager.acquire(noted('kept'));
    await (async () => {
      await (await engine.manager.acquire(noted('k'))).release();
      await engine.manager.withLock(noted('k'), () => 1);
    })();
    // Dropped after the others: once one that was not released is reported, they were looked at, too.
    await (async () => {
      await engine.manager.acquire(noted('dropped'));
    })();
    await collected(engine);
    expect(engine.warnings).toEqual([expect.stringMatching(/^Lock "dropped" was dropped/)]);
    await kept.release();
  });
});

describe('places', () => {
  it('are noted of the first acquisitions, and of all once one was missing', () => {
    const callSites = new CallSites();
    const noted = (count: number): number =>
      Array.from({ length: count }, () => callSites.note(noted)).filter((callSite) => callSite !== undefined).length;
    expect([noted(999), noted(5)]).toEqual([999, 1]);
    callSites.noteAll();
    expect(noted(5000)).toBe(5000);
  });

  it('leave the limit of stack traces as it was', () => {
    const before = Error.stackTraceLimit;
    new CallSites().note(collectGarbage);
    expect(Error.stackTraceLimit).toBe(before);
  });
});
