import type { LeaseRef, RenewOutcome } from '../../../core/lock-driver.js';
import type { RedisConnection } from '../connection/connection.js';
import { SplitSlotError } from '../connection/slots.js';
import { cancelledKey, leaseKey } from '../lease-format.js';

/** The outcome of a script that was sent with `hasDetour`, or of the detour. */
export async function orWhenSplit<Reply>(reply: Promise<Reply>, detour: () => Promise<Reply>): Promise<Reply> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof SplitSlotError) return detour();
    throw error;
  }
}

export async function rearm(connection: RedisConnection, { key, holder, ttl }: LeaseRef): Promise<RenewOutcome> {
  return (await connection.run('rearm', [leaseKey(key)], [holder, ttl], REARM)) === 1 ? 'held' : 'gone';
}

/** Resolves with true when this holder had the lease. */
export async function drop(connection: RedisConnection, { key, holder }: LeaseRef): Promise<boolean> {
  return (await connection.run('drop', [leaseKey(key)], [holder])) === 1;
}

/** The entry of the holder stays in the queue and counts as dead after a few heartbeats. */
export async function bar(connection: RedisConnection, claim: LeaseRef, milliseconds: number): Promise<void> {
  await connection.run('bar', [cancelledKey(claim)], [milliseconds]);
  await drop(connection, claim);
}

const REARM = { needsReplicas: (isHeld: unknown): boolean => isHeld === 1 };
