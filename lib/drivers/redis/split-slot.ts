import { DriverUnavailableError } from '../../core/errors.js';
import type { LeaseRef, RenewOutcome } from '../../core/lock-driver.js';
import type { RedisConnection } from './connection.js';
import { cancelledKey, leaseKey } from './lease-format.js';

/**
 * A slot that is half-way from one server of a cluster to another refuses every script whose keys may be at both
 * (TRYAGAIN), for as long as an interrupted migration stays unfinished. What must not wait for that names one key here:
 * to re-arm a lease and to give it back. The queue stays as it is: once the slot has arrived, the heartbeat of the first
 * in it finds the lease free. Nothing is granted in the meantime, so that tokens stay in order.
 */
export class SplitSlotError extends DriverUnavailableError {}

/** For a script that is sent with `hasDetour`. */
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

/** Whether this holder had the lease. */
export async function drop(connection: RedisConnection, { key, holder }: LeaseRef): Promise<boolean> {
  return (await connection.run('drop', [leaseKey(key)], [holder])) === 1;
}

/** Leaves the holder in the queue, where it counts as dead after a few heartbeats. */
export async function bar(connection: RedisConnection, claim: LeaseRef, milliseconds: number): Promise<void> {
  await connection.run('bar', [cancelledKey(claim)], [milliseconds]);
  await drop(connection, claim);
}

const REARM = { needsReplicas: (isHeld: unknown): boolean => isHeld === 1 };
