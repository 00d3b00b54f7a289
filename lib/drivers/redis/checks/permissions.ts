import type { Redis } from 'ioredis';
import { scripts } from '../scripts/scripts.generated.js';

/** A permission by its name in an ACL rule, and a call that needs it. */
type Needed = readonly [permission: string, ...command: string[]];

/** Commands that the scripts work without; they make waiting shorter. To call one changes nothing. */
const HINTS = new Set(['+publish', '+pubsub|numsub']);

/**
 * The permissions for the locks of a namespace, as docs/drivers/redis.md lists them. SUBSCRIBE is left out: another connection sends
 * it, and reports a refusal.
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
 * The rules that this user's ACL lacks for the locks of a namespace. Before Redis 7 the server cannot answer that
 * (`redis.acl_check_cmd` is new there), so only the refusals of hints are found: no call reports those.
 */
export async function missingPermissions(client: Redis, namespace: string): Promise<string[]> {
  const { general, onKeys, onChannels } = needed(namespace);
  const all = [...general, ...onKeys, ...onChannels];
  const refused = await refusedCommands(client, all);
  const missing = all.filter((need) => refused.has(need)).map(([permission]) => permission);
  // The server does not say if it refuses the command or the key: both are named.
  if (onKeys.every((need) => refused.has(need))) missing.push(`~{${namespace}:*`);
  if (onChannels.every((need) => refused.has(need))) missing.push(`&${namespace}:i:*`);
  return missing;
}

/** True when the server makes RDB files; undefined where this user may not ask, or the server cannot answer if they may. */
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
