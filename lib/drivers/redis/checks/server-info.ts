import { LockConfigError } from '../../../core/errors.js';

/** The oldest version whose scripting, channel permissions and INFO fit. */
const OLDEST = [6, 2];

/** Seconds. With the defaults of Redis a change is saved after an hour. */
const SAVED_BY = 2 * 3600;

/** The fields of INFO. */
export type ServerInfo = ReadonlyMap<string, string>;

export function parseInfo(text: string): ServerInfo {
  return new Map([...text.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, field, value]) => [field!, value!]));
}

/** A server without a version is accepted: some that speak the protocol are no Redis. */
export function refuseOldVersion(info: ServerInfo, server: string): LockConfigError | undefined {
  // Valkey has the compatible version of Redis here, and its own in `valkey_version`.
  const version = info.get('redis_version');
  const [major, minor] = (version?.split('.') ?? []).map(Number);
  if (major === undefined || minor === undefined || Number.isNaN(major + minor)) return undefined;
  if (major > OLDEST[0]! || (major === OLDEST[0] && minor >= OLDEST[1]!)) return undefined;
  return new LockConfigError(
    `Redis at ${server} is version ${version}; RedisDriver needs Redis 6.2 or later, or Valkey. Upgrade the server.`,
  );
}

/** A sentinel answers to a client as a server does, but keeps nothing. */
export function refuseSentinel(info: ServerInfo, server: string): LockConfigError | undefined {
  if (info.get('redis_mode') !== 'sentinel') return undefined;
  return new LockConfigError(
    `Redis at ${server} is a sentinel, which keeps no locks. Pass it as { sentinels: [{ host, port }], name: 'mymaster' }.`,
  );
}

export function evictionWarning(info: ServerInfo, server: string): string | undefined {
  const policy = info.get('maxmemory_policy');
  if (policy === undefined || policy === 'noeviction') return undefined;
  return (
    `Redis at ${server} may evict locks that are in use (maxmemory-policy ${policy}). ` +
    'Set maxmemory-policy noeviction, or give the locks a server of their own.'
  );
}

/** @param isSaved the server makes RDB files; undefined where this user may not ask */
export function persistenceWarning(info: ServerInfo, isSaved: boolean | undefined, server: string): string | undefined {
  if (info.get('aof_enabled') !== '0' || (isSaved ?? mayBeSaved(info))) return undefined;
  return (
    `Redis at ${server} keeps nothing on disk (neither AOF nor RDB): when it restarts, locks that are in use are free ` +
    'for others. Set appendonly yes.'
  );
}

function mayBeSaved(info: ServerInfo): boolean {
  const number = (field: string): number => Number(info.get(field));
  const unsavedFor = number('server_time_usec') / 1_000_000 - number('rdb_last_save_time');
  const neverSaved = number('rdb_last_bgsave_time_sec') === -1 && number('rdb_changes_since_last_save') > 0;
  return !(neverSaved && unsavedFor > SAVED_BY);
}
