import { LockConfigError } from '../../core/errors.js';
import { type Claim, type DriverEvent, type LeaseRef, type LockRecord, NO_METADATA } from '../../core/lock-driver.js';

export type HeldReply = [status: 0 | 2, remaining?: number, lease?: string, waiters?: number];

// One hash tag per lock, so that all its keys share a slot.
export const leaseKey = (key: string): string => `{${key}}`;
export const queueKey = (key: string): string => `{${key}}:q`;

/** In the order in which the scripts expect them. */
export function keysOf({ key, holder }: LeaseRef): string[] {
  return [leaseKey(key), `{${key}}:t`, queueKey(key), `{${key}}:w`, `{${key}}:x:${holder}`];
}

/** What the store keeps of a claim for people and for other instances. */
export function tailOf({ instance, metadata }: Claim): string {
  if (metadata !== NO_METADATA) return JSON.stringify({ instance, metadata });
  if (plainTail?.instance !== instance) plainTail = { instance, text: JSON.stringify({ instance, metadata }) };
  return plainTail.text;
}

/** Of the instance that asked last: almost always the only one, and without metadata. */
let plainTail: { readonly instance: string; readonly text: string } | undefined;

export function toRecord([, remaining = 0, lease, waiters = 0]: HeldReply): LockRecord | null {
  return lease === undefined ? null : recordOf(remaining, lease, waiters);
}

/** @param lease 'holder token …', and last the tail; what stands between is for the scripts */
export function recordOf(remaining: number, lease: string, waiters: number): LockRecord {
  const [, holder, token, tail] = /^(\S+) (\d+) \S+ (.*)$/s.exec(lease) ?? [];
  const { instance, metadata } = tailFrom(tail) ?? foreign();
  return { holder: holder!, instance, metadata, fencingToken: Number(token), remaining, waiters };
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
    'A key of this namespace holds a value that is no lease: something else uses this key: change `namespace`.',
  );
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
