import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FencedResource } from '../support/history/fenced-resource.mjs';
import { type Belief, checkHistory } from '../support/history/history.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { useRedis } from '../support/servers/use-redis.js';
import { useTopology } from '../support/servers/use-topology.js';

interface Ended extends Belief {
  type: 'ended';
  /** False where the holder found that it lost the lock, and its signal aborted. */
  held: boolean;
}
type Message = Ended | { type: 'acquired'; id: string; token: number } | { type: 'refused' };

const TTL = 400;
const script = fileURLToPath(new URL('contender.mjs', import.meta.url));

/** Four processes that contend for one lock while its holder is stopped past its TTL, again and again. */
class Contest {
  readonly ended: Ended[] = [];
  refused = 0;
  /** Holders that were stopped and said, once they went on, that they no longer hold the lock. */
  noticed = 0;
  readonly #processes = new Map<string, ChildProcess>();
  readonly #stopped = new Set<number>();
  #acquired: ((message: { id: string; token: number }) => void) | undefined;

  constructor(locks: string, resource: string, trust: 'clock' | 'grant', fencing: 'fenced' | 'unfenced') {
    for (const id of ['a', 'b', 'c', 'd']) {
      const child = fork(script, [id, locks, resource, String(TTL), trust, fencing]);
      child.on('message', (message) => this.#heard(message as Message));
      this.#processes.set(id, child);
    }
  }

  async pauseHolder(): Promise<void> {
    const { id, token } = await new Promise<{ id: string; token: number }>((resolve) => (this.#acquired = resolve));
    const child = this.#processes.get(id)!;
    child.kill('SIGSTOP');
    this.#stopped.add(token);
    await sleep(TTL + 200);
    child.kill('SIGCONT');
  }

  async end(): Promise<void> {
    await Promise.all(
      [...this.#processes.values()].map(async (child) => {
        const exited = once(child, 'exit');
        child.kill('SIGTERM');
        expect(await exited).toEqual([0, null]);
      }),
    );
  }

  #heard(message: Message): void {
    if (message.type === 'acquired') this.#acquired?.(message);
    if (message.type === 'refused') this.refused++;
    if (message.type !== 'ended') return;
    this.ended.push(message);
    if (this.#stopped.has(message.token) && !message.held) this.noticed++;
  }
}

// Rule S2 of docs/internals/safety.md.
describe('a holder that is stopped past its TTL', () => {
  const PAUSES = 6;
  const locks = useTopology(() => RedisServer.start());
  const { server: resources, admin: redis } = useRedis();

  async function contest(trust: 'clock' | 'grant', fencing: 'fenced' | 'unfenced') {
    const contenders = new Contest(locks.url, resources.url, trust, fencing);
    for (let pause = 0; pause < PAUSES; pause++) await contenders.pauseHolder();
    await contenders.end();
    const log = await new FencedResource(redis, 'resource').log();
    return { contenders, log, history: checkHistory(contenders.ended, log) };
  }

  it('knows at once that it lost the lock, and its late writes are refused', async () => {
    const { contenders, log, history } = await contest('clock', 'fenced');
    expect(contenders.noticed).toBe(PAUSES);
    expect(contenders.refused).toBeGreaterThan(0);
    expect(contenders.ended.length).toBeGreaterThan(PAUSES);
    expect(log.length).toBeGreaterThan(PAUSES);
    expect(history).toEqual({ duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] });
  });

  it('control: one that trusts the grant for as long as its work takes believes together with its successor', async () => {
    const { history } = await contest('grant', 'fenced');
    expect(history.overlaps.length).toBeGreaterThan(0);
  });

  it('control: a resource that does not check the token takes stale writes', async () => {
    const { history } = await contest('clock', 'unfenced');
    expect(history.staleWrites.length).toBeGreaterThan(0);
  });
});
