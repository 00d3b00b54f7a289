import type { Claim, LockRecord } from '../../../core/lock-driver.js';
import type { KeyValue } from '../client/messages.js';

/**
 * What is read from the store, checked: whoever may write there may write anything. Fields that are not known are left
 * out, for a later version may add some.
 */

/** What a place says of its claim, to everybody. */
export interface PlaceValue extends Pick<Claim, 'holder' | 'instance' | 'metadata' | 'ttl'> {
  /** Where notes to its instance go. */
  readonly inbox: string;
  /** When it asked for the write that made it the holder, in milliseconds since 1970. */
  readonly since: number;
  /** Where it is not the revision in which the key was written last. */
  readonly token?: number | undefined;
}

/** What is stored of a number: whoever moved it to where it is. */
export interface Mark {
  readonly to: number;
  readonly by: string;
}

/** Characters of a record of ours, at most. */
const LONGEST_RECORD = 65_536;
const LONGEST_NAME = 1024;

/** Milliseconds until a place that says nothing of its time is looked at again. */
const UNKNOWN_TIME = 1000;

/**
 * What is attached to no lease would stay for ever: nothing of ours is so, and nothing that is so holds anything.
 */
export function isLasting({ lease }: KeyValue): boolean {
  return lease === 0;
}

/** Undefined when it is no value that we understand. */
export function readPlace({ value, modRevision }: KeyValue): PlaceValue | undefined {
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

/** Facts are texts; only their size and their end are ours to check. */
export function isFact(found: KeyValue): boolean {
  return !isLasting(found) && found.value.length <= LONGEST_RECORD;
}

/**
 * What the holder's place says of it. Its TTL stands for the time that is left, which only the lease knows. A value that
 * we do not understand holds the lock all the same, until its lease ends: a later version may have written it.
 */
export function toRecord(place: KeyValue, count: number): LockRecord {
  const waiters = count - 1;
  const found = readPlace(place);
  if (!found) {
    const holder = place.key.slice(place.key.lastIndexOf('/') + 1, LONGEST_NAME);
    const { modRevision: fencingToken } = place;
    return { holder, instance: 'unknown', metadata: {}, fencingToken, since: 0, remaining: UNKNOWN_TIME, waiters };
  }
  const { holder, instance, metadata, since, ttl, token } = found;
  const fencingToken = token ?? place.modRevision;
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
