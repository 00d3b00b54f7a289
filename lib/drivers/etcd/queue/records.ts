import type { Claim, LockRecord } from '../../../core/lock-driver.js';
import type { KeyValue } from '../client/messages.js';

// Checks all texts that are read from the store: anybody with write access can write any text. Unknown fields are left
// out, because a later version may add some.

/** The value of a key in a queue. */
export interface StoredClaim extends Pick<Claim, 'holder' | 'instance' | 'metadata' | 'ttl'> {
  /** The inbox of its instance, for notes. */
  readonly inbox: string;
  /** When it asked for the write that made it the holder. Milliseconds since 1970. */
  readonly since: number;
  /** Undefined where the token is the revision in which the key was written last. */
  readonly token?: number | undefined;
}

/** A number of the fact store, and who moved it there. */
export interface Mark {
  readonly to: number;
  readonly by: string;
}

/** Characters of a record of ours, at most. */
const LONGEST_RECORD = 65_536;
const LONGEST_NAME = 1024;

/** Milliseconds until a key with an unknown TTL is looked at again. */
const UNKNOWN_TIME = 1000;

/** True for a key without a lease. It would stay for ever. No driver writes such a key, and it holds nothing. */
export function isLasting({ lease }: KeyValue): boolean {
  return lease === 0;
}

/** Undefined when the value is no record of this package. */
export function readClaim({ value, modRevision }: KeyValue): StoredClaim | undefined {
  const { holder, instance, inbox, ttl, since, token, metadata } = readObject(value);
  if (!isName(holder) || !isName(instance) || !isName(inbox)) return undefined;
  if (typeof ttl !== 'number' || !Number.isFinite(ttl) || ttl <= 0 || !isMetadata(metadata)) return undefined;
  // Tokens are revisions, and none is later than the write that says so.
  if (token !== undefined && !(Number.isSafeInteger(token) && Number(token) > 0 && Number(token) <= modRevision)) {
    return undefined;
  }
  const began = typeof since === 'number' && Number.isFinite(since) ? since : 0;
  return { holder, instance, inbox, ttl, metadata, since: began, token: token as number | undefined };
}

export function readMark({ value }: KeyValue): Mark | undefined {
  const { to, by } = readObject(value);
  return typeof to === 'number' && Number.isFinite(to) && typeof by === 'string' ? { to, by } : undefined;
}

/** A fact is any text. Only its size and its lease are checked. */
export function isFact(found: KeyValue): boolean {
  return !isLasting(found) && found.value.length <= LONGEST_RECORD;
}

/**
 * The record in the key of a holder. Its TTL stands for the remaining time, which only the lease knows. A value that is no
 * record of this package holds the lock all the same, until its lease ends: a later version may have written it.
 */
export function toRecord(owner: KeyValue, count: number): LockRecord {
  const waiters = count - 1;
  const found = readClaim(owner);
  if (!found) {
    const holder = owner.key.slice(owner.key.lastIndexOf('/') + 1, LONGEST_NAME);
    const { modRevision: fencingToken } = owner;
    return { holder, instance: 'unknown', metadata: {}, fencingToken, since: 0, remaining: UNKNOWN_TIME, waiters };
  }
  const { holder, instance, metadata, since, ttl, token } = found;
  const fencingToken = token ?? owner.modRevision;
  return { holder, instance, metadata, fencingToken, since, remaining: ttl, waiters };
}

function readObject(text: string): Record<string, unknown> {
  if (text.length > LONGEST_RECORD) return {};
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === 'object' && found !== null ? { ...found } : {};
  } catch {
    return {};
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= LONGEST_NAME;
}

function isMetadata(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((entry) => typeof entry === 'string');
}
