import type { Redis } from 'ioredis';
import { scripts } from '../scripts/scripts.generated.js';

/** A permission by its name in an ACL rule, and a call that needs it. */
type Needed = readonly [permission: string, ...command: string[]];

/** What the scripts do without: it makes waiting shorter. Changes nothing when it is tried. */
const HINTS = new Set(['+publish', '+pubsub|numsub']);

/**
 * What a user needs for the locks of a namespace: what docs/drivers/redis.md lists but for SUBSCRIBE, which is not sent over this
 * connection, and whose refusal shows itself.
 */
function needed(namespace: string): { general: Needed[]; onKeys: Needed[]; onChannels: Needed[] } {
  const key = `{${namespace}:l:start-check}`;
  return {
    general: [
      ['+evalsha', 'evalsha', scripts.permissions.sha, '0'],
      ['+eval', 'eval', '', '0'],
      ['+time', 'time'],
      ['+info', 'info'],
      ['+unsubscribe', 'unsubscribe'],
      ['+pubsub|numsub', 'pubsub', 'numsub', `${namespace}:i:start-check`],
    ],
    onKeys: [
      ['+get', 'get', key],
      ['+set', 'set', key, ''],
      ['+del', 'del', key],
      ['+exists', 'exists', key],
      ['+pexpire', 'pexpire', key, '1'],
      ['+pttl', 'pttl', key],
      ['+rpush', 'rpush', key, ''],
      ['+lpush', 'lpush', key, ''],
      ['+lpop', 'lpop', key],
      ['+lrem', 'lrem', key, '1', ''],
      ['+llen', 'llen', key],
      ['+lrange', 'lrange', key, '0', '-1'],
      ['+hset', 'hset', key, '', ''],
      ['+hget', 'hget', key, ''],
      ['+hgetall', 'hgetall', key],
      ['+hdel', 'hdel', key, ''],
      ['+hlen', 'hlen', key],
    ],
    onChannels: [['+publish', 'publish', `${namespace}:i:start-check`, '']],
  };
}

/**
 * The rules that this user's ACL lacks for the locks of a namespace. Before Redis 7 the server cannot tell, and only those
 * are found whose refusal no call would show.
 */
export async function missingPermissions(client: Redis, namespace: string): Promise<string[]> {
  const { general, onKeys, onChannels } = needed(namespace);
  const all = [...general, ...onKeys, ...onChannels];
  const refused = await refusedCommands(client, all);
  const missing = all.filter((need) => refused.has(need)).map(([permission]) => permission);
  // The server does not say whether it refuses the command or what it names: then both are told.
  if (onKeys.every((need) => refused.has(need))) missing.push(`~{${namespace}:*`);
  if (onChannels.every((need) => refused.has(need))) missing.push(`&${namespace}:i:*`);
  return missing;
}

/** Whether the server makes RDB files; undefined where this user may not ask, or the server cannot tell whether they may. */
export async function makesRdbFiles(client: Redis): Promise<boolean | undefined> {
  const save = ['config', 'get', 'save'] as const;
  if ((await refusedIndices(client, [save]))?.length !== 0) return undefined;
  const reply = (await client.call(...save)) as string[];
  return reply[1] !== '';
}

async function refusedCommands(client: Redis, needs: readonly Needed[]): Promise<ReadonlySet<Needed>> {
  const commands = needs.map(([, ...command]) => command);
  const indices = await refusedIndices(client, commands);
  if (indices) return new Set(indices.map((index) => needs[index - 1]!));
  const hints = needs.filter(([permission]) => HINTS.has(permission));
  const refused = await Promise.all(hints.map((hint) => isRefused(client, hint)));
  return new Set(hints.filter((_, index) => refused[index]));
}

async function isRefused(client: Redis, [, command, ...args]: Needed): Promise<boolean> {
  try {
    await client.call(command!, ...args);
    return false;
  } catch (error) {
    return (error as Error).message.startsWith('NOPERM');
  }
}

async function refusedIndices(client: Redis, commands: readonly (readonly string[])[]): Promise<number[] | null> {
  return (await client.eval(scripts.permissions.lua, 0, JSON.stringify(commands))) as number[] | null;
}
