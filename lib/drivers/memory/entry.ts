import { type Claim, heartbeat, type LockRecord } from '../../core/lock-driver.js';

export interface Holding {
  readonly claim: Claim;
  readonly fencingToken: number;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** In the time of the clock. */
  until: number;
}

export interface Waiter {
  readonly claim: Claim;
  /** When its last heartbeat came. */
  seen: number;
}

/** One key: its holder, and its queue by holder id. The first of the queue has waited longest. */
export interface Entry {
  holding: Holding | undefined;
  readonly queue: Map<string, Waiter>;
}

/** Whether a hand-over may choose this waiter. */
function isAlive({ claim, seen }: Waiter, now: number): boolean {
  return now - seen <= 3 * heartbeat(claim.ttl);
}

/**
 * Takes the next waiter out of the queue: the first that is alive, but one of the instance `to` before all others.
 * Waiters that are found dead on the way are removed.
 */
export function takeNext(queue: Entry['queue'], now: number, to?: string): Waiter | undefined {
  const preferred =
    to !== undefined && [...queue.values()].find((each) => each.claim.instance === to && isAlive(each, now));
  if (preferred) {
    queue.delete(preferred.claim.holder);
    return preferred;
  }
  for (const waiter of queue.values()) {
    queue.delete(waiter.claim.holder);
    if (isAlive(waiter, now)) return waiter;
  }
  return undefined;
}

/** Nobody holds the key, and no waiter of it is alive. */
export function isOver({ holding, queue }: Entry, now: number): boolean {
  const isHeld = holding !== undefined && holding.until > now;
  return !isHeld && ![...queue.values()].some((waiter) => isAlive(waiter, now));
}

export function recordOf({ holding, queue }: Entry, now: number): LockRecord | null {
  if (!holding) return null;
  const { claim, fencingToken, since, until } = holding;
  const { holder, instance, metadata } = claim;
  return { holder, instance, metadata, fencingToken, since, remaining: until - now, waiters: queue.size };
}
