import type { Logger } from '@nestjs/common';
import { isCron, isScheduled } from '../decorators/framework-metadata.js';
import type { WithLockOptions } from '../decorators/with-lock.js';
import { wrappingsOf } from '../decorators/wrap-method.js';

/** Decorators that run a tick on one replica only. */
const DEDUPLICATING: ReadonlySet<string> = new Set(['OncePerTick', 'LeaderOnly']);

/**
 * Warns of a scheduled method whose ticks a lock alone is to run once. A lock keeps two runs from overlapping. It does not
 * make one of them.
 */
export function checkLockedJob(
  label: string,
  method: object,
  { otherwise = 'wait', holdAtLeast }: WithLockOptions,
  logger: Logger,
): void {
  if (!isScheduled(method)) return;
  if (wrappingsOf(method).some(({ decorator }) => DEDUPLICATING.has(decorator))) return;
  const repair = isCron(method)
    ? 'Add @OncePerTick(), which runs each tick on one of them, or @LeaderOnly().'
    : 'Add @LeaderOnly(), which runs the job on one of them.';
  if (otherwise === 'wait') {
    logger.warn(
      `@WithLock on the scheduled method ${label} waits for the lock, so every replica runs the job, one after the ` +
        `other. ${repair}`,
    );
  } else if (holdAtLeast === undefined) {
    logger.warn(
      `@WithLock on the scheduled method ${label} leaves out a run only while another one goes on. Replicas whose clocks ` +
        `differ by more than the job takes all run it. ${repair} Or give the lock holdAtLeast, longer than clocks differ.`,
    );
  }
}
