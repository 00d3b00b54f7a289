import type { Redis } from 'ioredis';
import { DriverUnavailableError } from 'nestjs-dist-lock';
import { expect, it, onTestFinished, vi } from 'vitest';
import { ScriptCall } from '../../../../../lib/drivers/redis/commands/script-call.js';
import { FailoverQuarantine } from '../../../../../lib/drivers/redis/failover/failover-quarantine.js';
import { scripts } from '../../../../../lib/drivers/redis/scripts/scripts.generated.js';

const AGE = 3_600_000;
const call = new ScriptCall(scripts.acquire, ['{test:l:k}'], [], { inReign: scripts.reign });

/** A server whose replication id at each question comes from a list, and has been known for an hour. */
function serverWith(ids: string[], replaced = (): void => {}) {
  let asked = 0;
  const send = async ({ args }: ScriptCall): Promise<unknown> => {
    const id = ids[asked++];
    if (id === undefined) throw new Error('asked too often');
    return args.at(-1) === id ? 'granted' : [3, id];
  };
  const sender = { client: {} as Redis, name: 'here', send };
  const quarantine = new FailoverQuarantine({ duration: 1000, now: () => 0, run: async () => AGE, replaced });
  return { grant: () => quarantine.grant(call, sender), asked: () => asked };
}

it('grants on a master that changed twice while it was asked', async () => {
  const { grant } = serverWith(['a', 'b', 'b']);
  expect(await grant()).toBe('granted');
});

it('gives up on one that changes each time', async () => {
  const { grant, asked } = serverWith(['a', 'b', 'a', 'b', 'a', 'b']);
  const refused = grant();
  await expect(refused).rejects.toThrow(DriverUnavailableError);
  await expect(refused).rejects.toMatchObject({ sent: false, message: expect.stringContaining('Redis at here') });
  expect(asked()).toBe(3);
});

it('grants whatever a listener throws when it is told of another master', async () => {
  const tasks: (() => void)[] = [];
  const spy = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((task) => void tasks.push(task));
  onTestFinished(() => spy.mockRestore());
  const { grant } = serverWith(['a', 'b', 'b'], () => {
    throw new Error('of a listener');
  });
  expect(await grant()).toBe('granted');
  expect(tasks).toHaveLength(1);
  expect(tasks[0]).toThrow('of a listener');
});
