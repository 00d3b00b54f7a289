import type { Redis } from 'ioredis';
import { expect, it, vi } from 'vitest';
import { SystemClock } from '../../../../../lib/core/clock.js';
import { ScriptCall } from '../../../../../lib/drivers/redis/commands/script-call.js';
import { AnswerTimeout } from '../../../../../lib/drivers/redis/commands/script-command.js';

it('a client that throws is a rejection, once', async () => {
  const unhandled = vi.fn<(error: unknown) => void>();
  process.on('unhandledRejection', unhandled);
  const client = {
    sendCommand() {
      throw new TypeError('another ioredis');
    },
  } as unknown as Redis;
  const timeout = new AnswerTimeout(10, new SystemClock());
  await expect(timeout.send(client, new ScriptCall({ sha: 'a', lua: '' }, [], []))).rejects.toThrow('another ioredis');
  await new Promise((resolve) => setTimeout(resolve, 50));
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});
