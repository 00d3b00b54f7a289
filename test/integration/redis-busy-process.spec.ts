import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { ScriptCall } from '../../lib/drivers/redis/commands/script-call.js';
import { AnswerTimeout } from '../../lib/drivers/redis/commands/script-command.js';
import { readBeforeTimeout } from '../../lib/drivers/redis/connection/ioredis-sockets.js';
import { RedisNode } from '../../lib/drivers/redis/connection/node.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { useClosing } from '../support/servers/use-topology.js';

describe('a process that is busy for longer than an answer may take', () => {
  const LIMIT = 300;
  const closing = useClosing();
  const block = (milliseconds: number): void => {
    for (const end = performance.now() + milliseconds; performance.now() < end;);
  };

  async function sender(): Promise<{ send: () => Promise<unknown>; client: Redis; server: RedisServer }> {
    const server = await RedisServer.start();
    closing.push(() => server.stop());
    const client = new Redis(server.url, { commandTimeout: LIMIT, socketTimeout: LIMIT, retryStrategy: () => null });
    client.on('error', () => undefined);
    const clock = new SystemClock();
    readBeforeTimeout(client, clock);
    closing.push(() => client.disconnect());
    await once(client, 'ready');
    const script = { sha: createHash('sha1').update('return 1').digest('hex'), lua: 'return 1' };
    const plan = { clock, acks: undefined, loginRotates: false };
    const answers = new AnswerTimeout(LIMIT, clock);
    const node = new RedisNode(client, server.url, { plan, answers, quarantine: undefined });
    const send = (): Promise<unknown> => node.run(new ScriptCall(script, [], []));
    await send();
    return { send, client, server };
  }

  it('has what was answered meanwhile', async () => {
    const { send, client } = await sender();
    const answer = send();
    // It has left.
    await new Promise((resolve) => setImmediate(resolve));
    block(LIMIT + 300);
    expect(await answer).toBe(1);
    expect(client.status).toBe('ready');
  });

  it('counts no time before a call has left', async () => {
    const { send, client } = await sender();
    const answers = [send()];
    block(LIMIT + 300);
    answers.push(send());
    expect(await Promise.all(answers)).toEqual([1, 1]);
    expect(client.status).toBe('ready');
  });

  it('still hears that a server does not answer, and hangs up', async () => {
    const { send, client, server } = await sender();
    server.pause();
    const closed = new Promise((resolve) => client.once('close', resolve));
    await expect(send()).rejects.toThrow(/timed out|Connection is closed|max retries/i);
    await closed;
  });
});
