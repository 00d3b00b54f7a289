import { LockConfigError } from '../../core/errors.js';
import {
  type Claim,
  type DriverEvent,
  type Granted,
  type LeaseRef,
  type LockRecord,
  NO_METADATA,
  type PlaceOutcome,
  type Queued,
  type Refused,
} from '../../core/lock-driver.js';
import type { Marks } from './marks.js';

/** 'token tokens waiters', or who has the lease. */
export type AcquireReply = string | HeldReply;

export type HeldReply = [status: 0 | 2, remaining?: number, lease?: string, waiters?: number];

/** Remaining ms of the lease in front, with the lease where the waiter knows another one; -1: ask again. */
export type PlaceReply = number | [remaining: number, lease: string, waiters: number];

// One hash tag per lock, so that all its keys share a slot.
export const leaseKey = (key: string): string => `{${key}}`;
export const cancelledKey = ({ key, holder }: Pick<LeaseRef, 'key' | 'holder'>): string => `{${key}}:x:${holder}`;
export const queueKey = (key: string): string => `{${key}}:q`;

/**
 * Milliseconds for which a cancelled holder is remembered, whatever its TTL. A request of the holder that arrives after its
 * cancel left over a connection that was given up meanwhile. A network that works again delivers such a request within a
 * minute, or never: Linux repeats a segment at most 51 s after the time before, for less than two minutes in all.
 */
export const CANCELLED_FOR = 60_000;

/** In the order in which the scripts expect them. */
export function keysOf({ key, holder }: LeaseRef, marks: Marks): string[] {
  return [leaseKey(key), marks.keyFor(key), queueKey(key), `{${key}}:w`, cancelledKey({ key, holder })];
}

/** The part of a lease that is for people and for other instances. */
export function tailOf({ instance, metadata }: Claim): string {
  if (metadata !== NO_METADATA) return JSON.stringify({ instance, metadata });
  if (plainTail?.instance !== instance) plainTail = { instance, text: JSON.stringify({ instance, metadata }) };
  return plainTail.text;
}

/** The tail of the instance that asked last. Almost always there is one instance, and no metadata. */
let plainTail: { readonly instance: string; readonly text: string } | undefined;

export const placeKeysOf = ({ key }: LeaseRef): string[] => [leaseKey(key), queueKey(key), `{${key}}:w`];

/** @throws LockConfigError for a value that these scripts did not write */
export function toAcquired(reply: AcquireReply, { key, ttl }: Claim): Granted | Refused | Queued {
  if (typeof reply !== 'string') {
    return { status: reply[0] === 2 ? 'queued' : 'refused', record: toRecord(reply, key) };
  }
  const [token, tokens, waiters] = reply.split(' ');
  return {
    status: 'granted',
    fencingToken: Number(token),
    tokens: Number(tokens),
    ttl,
    waiters: Number(waiters),
  };
}

/** A waiter whose lease in front cannot be read has to ask, so that the error concerns its claim only. */
export function toPlace(reply: PlaceReply): PlaceOutcome {
  if (typeof reply === 'number') return reply < 0 ? 'ask' : { remaining: reply };
  try {
    return { remaining: reply[0], record: recordOf(...reply) };
  } catch {
    return 'ask';
  }
}

/** @throws LockConfigError for a value that these scripts did not write */
export function toRecord([, remaining = 0, lease, waiters = 0]: HeldReply, key: string): LockRecord | null {
  if (lease === undefined) return null;
  try {
    // All leases of the scripts have a TTL.
    if (remaining !== -1) return recordOf(remaining, lease, waiters);
  } catch {}
  throw new LockConfigError(
    `The Redis key "${leaseKey(key)}" holds a value that is not a lease: another application uses this key. ` +
      'Change `namespace`, or delete the key.',
  );
}

/** @param lease 'holder token … since tail'; `since` is in µs, and only the scripts read the part between */
export function recordOf(remaining: number, lease: string, waiters: number): LockRecord {
  const [, holder, token, since, tail] = /^(\S+) (\d+) \S+ (\d+) (.*)$/s.exec(lease) ?? [];
  const { instance, metadata } = tailFrom(tail) ?? foreign();
  return {
    holder: holder!,
    instance,
    metadata,
    fencingToken: Number(token),
    since: Math.floor(Number(since) / 1000),
    remaining,
    waiters,
  };
}

function tailFrom(text = ''): Pick<LockRecord, 'instance' | 'metadata'> | undefined {
  try {
    const tail = JSON.parse(text) as Partial<LockRecord> | null;
    const { instance, metadata } = tail ?? {};
    return typeof instance === 'string' && typeof metadata === 'object' && metadata
      ? { instance, metadata }
      : undefined;
  } catch {
    return undefined;
  }
}

/** The value may be anything: it is not shown. */
function foreign(): never {
  throw new LockConfigError(
    'A key of this namespace holds a value that is not a lease: another application uses this key. Change `namespace`.',
  );
}

/** Anybody may publish: ignores messages that our scripts did not write. */
export function toEvent(message: string): DriverEvent | undefined {
  const contended = /^contended \{(.*)\}$/s.exec(message);
  if (contended) return { type: 'contended', key: contended[1]! };
  const granted = /^granted (\S+) (\d+) (\d+) (\d+) (\d+) \{(.*)\}$/s.exec(message);
  const numbers = granted?.slice(2, 6).map(Number) ?? [];
  if (!granted || !numbers.every((number) => Number.isSafeInteger(number))) return undefined;
  const [fencingToken, tokens, ttl, waiters] = numbers as [number, number, number, number];
  if (fencingToken === 0 || tokens === 0 || ttl === 0) return undefined;
  return {
    type: 'granted',
    status: 'granted',
    key: granted[6]!,
    holder: granted[1]!,
    fencingToken,
    tokens,
    ttl,
    waiters,
  };
}
