import type { Claim, LeaseRef } from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import { tailOf } from '../redis/lease-format.js';

// One hash tag per lock, as everywhere in Redis; the same names as with RedisDriver, and the same permissions.
export const leaseKey = ({ key }: Pick<LeaseRef, 'key'>): string => `{${key}}`;
export const tokenKey = ({ key }: LeaseRef): string => `{${key}}:t`;
export const waitersKey = ({ key }: Pick<LeaseRef, 'key'>): string => `{${key}}:w`;

/** Which rounds of a holder count as given back. */
export const givenBackKey = ({ key, holder }: LeaseRef): string => `{${key}}:x:${holder}`;

/** Where releases in a namespace are told, as far as somebody waits. Beside the inboxes, for the same permission. */
export function channelOf(key: string): string {
  return `${namespaceOf(key)}:i:freed`;
}

/** What the servers keep of a lease: 'holder token round tail', in the shape that `recordOf` reads. */
export function textOf(claim: Claim, token: string, round: number): string {
  return `${claim.holder} ${token} ${round} ${tailOf(claim)}`;
}
