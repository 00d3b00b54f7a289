import { type Claim, heartbeat, type LockRecord } from '../../core/lock-driver.js';

export interface Holding {
  readonly claim: Claim;
  readonly fencingToken: number;
  /** Milliseconds since 1970. */
  readonly since: number;
  until: number;
}

export interface Waiter {
  readonly claim: Claim;
  /** When it last said that it is still there. */
  seen: number;
}

/** One key: who has it, and who waits for it, the longest first. */
export interface Entry {
  holding: Holding | undefined;
  readonly queue: Map<string, Waiter>;
}

/** A hand-over skips those that are not. */
export function isAlive({ claim, seen }: Waiter, now: number): boolean {
  return now - seen <= 3 * heartbeat(claim.ttl);
}

export function recordOf({ holding, queue }: Entry, now: number): LockRecord | null {
  if (!holding) return null;
  const { claim, fencingToken, since, until } = holding;
  const { holder, instance, metadata } = claim;
  return { holder, instance, metadata, fencingToken, since, remaining: until - now, waiters: queue.size };
}
