import type { Claim, LeaseRef } from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import { tailOf } from '../redis/lease-format.js';

// One hash tag per lock, as everywhere in Redis; the same names as with RedisDriver, and the same permissions.
export const leaseKey = ({ key }: Pick<LeaseRef, 'key'>): string => `{${key}}`;
export const waitersKey = ({ key }: Pick<LeaseRef, 'key'>): string => `{${key}}:w`;

/** The largest tokens that were reserved, by bucket; kept for ever. Not a key of RedisDriver's. */
export const marksKey = ({ key }: Pick<LeaseRef, 'key'>): string => `{${namespaceOf(key)}:t:}:b`;

/**
 * Keys that share a mark. One for all keys would be above most of what other clients propose at the same time for other
 * keys, and each such grant would cost a second round trip; among so many that is rare. All clients have to agree on it.
 */
const BUCKETS = 1024;

export function bucketOf({ key }: Pick<LeaseRef, 'key'>): number {
  // FNV-1a.
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  return (hash >>> 0) % BUCKETS;
}

/** Which rounds of a holder count as given back. */
export const givenBackKey = ({ key, holder }: LeaseRef): string => `{${key}}:x:${holder}`;

/** Where releases in a namespace are told, as far as somebody waits. Beside the inboxes, for the same permission. */
export function channelOf(key: string): string {
  return `${namespaceOf(key)}:i:freed`;
}

/** A lease as a server gets it that gives its vote late: it adds since when. */
export function textOf(claim: Claim, token: number, round: number): string {
  return `${claim.holder} ${token} ${round} ${tailOf(claim)}`;
}
