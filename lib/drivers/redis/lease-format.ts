import { LockConfigError } from '../../core/errors.js';
import {
  type Claim,
  type DriverEvent,
  type LeaseRef,
  type LockRecord,
  NO_METADATA,
  type PlaceOutcome,
} from '../../core/lock-driver.js';

export type HeldReply = [status: 0 | 2, remaining?: number, lease?: string, waiters?: number];

/** Remaining ms of the lease in front, and who has it where that is another one than was known; -1: ask again. */
export type PlaceReply = number | [remaining: number, lease: string, waiters: number];

// One hash tag per lock, so that all its keys share a slot.
export const leaseKey = (key: string): string => `{${key}}`;
export const cancelledKey = ({ key, holder }: Pick<LeaseRef, 'key' | 'holder'>): string => `{${key}}:x:${holder}`;
export const queueKey = (key: string): string => `{${key}}:q`;

/** In the order in which the scripts expect them. */
export function keysOf({ key, holder }: LeaseRef): string[] {
  return [leaseKey(key), `{${key}}:t`, queueKey(key), `{${key}}:w`, cancelledKey({ key, holder })];
}

/** What the store keeps of a claim for people and for other instances. */
export function tailOf({ instance, metadata }: Claim): string {
  if (metadata !== NO_METADATA) return JSON.stringify({ instance, metadata });
  if (plainTail?.instance !== instance) plainTail = { instance, text: JSON.stringify({ instance, metadata }) };
  return plainTail.text;
}

/** Of the instance that asked last: almost always the only one, and without metadata. */
let plainTail: { readonly instance: string; readonly text: string } | undefined;

export const placeKeysOf = ({ key }: LeaseRef): string[] => [leaseKey(key), queueKey(key), `{${key}}:w`];

/** What cannot be read is asked for, so that an error concerns that claim only. */
export function toPlace(reply: PlaceReply): PlaceOutcome {
  if (typeof reply === 'number') return reply < 0 ? 'ask' : { remaining: reply };
  try {
    return { remaining: reply[0], record: recordOf(...reply) };
  } catch {
    return 'ask';
  }
}

/** @throws LockConfigError for what these scripts did not write */
export function toRecord([, remaining = 0, lease, waiters = 0]: HeldReply, key: string): LockRecord | null {
  if (lease === undefined) return null;
  try {
    // All that they write has an end.
    if (remaining !== -1) return recordOf(remaining, lease, waiters);
  } catch {}
  throw new LockConfigError(
    `The Redis key "${leaseKey(key)}" holds something that is no lease: something else uses this key. ` +
      'Change `namespace`, or delete the key.',
  );
}

/** @param lease 'holder token …', and last the tail; what stands between is for the scripts */
export function recordOf(remaining: number, lease: string, waiters: number): LockRecord {
  const [, holder, token, tail] = /^(\S+) (\d+) \S+ (.*)$/s.exec(lease)!;
  const { instance, metadata } = JSON.parse(tail!) as Pick<LockRecord, 'instance' | 'metadata'>;
  return { holder: holder!, instance, metadata, fencingToken: Number(token), remaining, waiters };
}

/** Anybody may publish: what is not a message of our scripts is ignored. */
export function toEvent(message: string): DriverEvent | undefined {
  const contended = /^contended \{(.*)\}$/s.exec(message);
  if (contended) return { type: 'contended', key: contended[1]! };
  const granted = /^granted (\S+) (\d+) (\d+) (\d+) (\d+) \{(.*)\}$/s.exec(message);
  if (!granted) return undefined;
  const [fencingToken, tokens, ttl, waiters] = granted.slice(2, 6).map(Number) as [number, number, number, number];
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
