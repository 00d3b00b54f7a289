import type { Claim, LeaseRef } from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import { tailOf } from '../redis/lease-format.js';

// One hash tag for each lock. The names, and so the permissions, are those of RedisDriver.
export const leaseKey = ({ key }: Pick<LeaseRef, 'key'>): string => `{${key}}`;
export const waitersKey = ({ key }: Pick<LeaseRef, 'key'>): string => `{${key}}:w`;

/** The largest tokens that were reserved, by bucket; kept for ever. RedisDriver has no such key. */
export const marksKey = ({ key }: Pick<LeaseRef, 'key'>): string => `{${namespaceOf(key)}:t:}:b`;

/**
 * The number of marks. One mark for all keys would be above most tokens that other clients propose at the same time for
 * other keys, and each such grant would cost a second round trip. With 1024 marks this is rare. All clients must have the
 * same number.
 */
const BUCKETS = 1024;

export function bucketOf({ key }: Pick<LeaseRef, 'key'>): number {
  // FNV-1a.
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  return (hash >>> 0) % BUCKETS;
}

/** The last round of a holder that counts as given back. */
export const givenBackKey = ({ key, holder }: LeaseRef): string => `{${key}}:x:${holder}`;

/**
 * The channel that announces releases and waiters of a namespace. It is beside the inboxes, for the same permission.
 */
export function channelOf(key: string): string {
  return `${namespaceOf(key)}:i:freed`;
}

/** A lease for a server that gives its vote late. */
export function textOf(claim: Claim, token: number, round: number, since: number): string {
  return `${claim.holder} ${token} ${round} ${since} ${tailOf(claim)}`;
}
