import type { Logger } from '@nestjs/common';
import { isCron, isScheduled, methodsOf } from '../decorators/framework-metadata.js';
import { DEFAULT_REGISTRATION, getLeaderToken } from '../decorators/injection.js';
import type { OncePerTickSettings } from '../decorators/once-per-tick.js';
import type { WithLockOptions } from '../decorators/with-lock.js';
import { type Wrapping, wrappingsOf } from '../decorators/wrap-method.js';
import type { LeaderOnlyMetadata } from '../http/leader.guard.js';
import { type Discovered, schedulersIn } from './discovered.js';
import type { Registration } from './registration.js';

/** Letters of a class name that a minifier made. */
const LONGEST_SHORT_NAME = 2;

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

/**
 * Warns of jobs whose ticks run more than once in one process, where neither a lock nor the leadership keeps them from it:
 * a second scheduler, or a second instance of a class. `@OncePerTick()` does.
 */
export function checkDoubledJobs(found: readonly Discovered[], registration: Registration): void {
  const { logger } = registration;
  const instances = new Map<object & { name: string }, Map<object, string>>();
  for (const { type, instance, isStatic, module } of found) {
    if (!type || !instance || !isStatic || !hasGuardedJob(type.prototype, registration)) continue;
    const modules = instances.get(type) ?? new Map<object, string>();
    instances.set(type, modules.set(instance, modules.get(instance) ?? module));
  }
  if (instances.size === 0) return;
  const schedulers = schedulersIn(found).length;
  if (schedulers > 1) {
    logger.warn(
      `ScheduleModule.forRoot() is imported ${schedulers} times, so each tick of a scheduled method runs ${schedulers} ` +
        'times in this process, also on the leader. Import it once, in the root module.',
    );
  }
  for (const [{ name }, modules] of instances) {
    if (modules.size === 1) continue;
    logger.warn(
      `${name} has ${modules.size} instances, by the modules ${[...modules.values()].join(', ')}, so each tick of its ` +
        `scheduled methods runs ${modules.size} times in this process, also on the leader. Provide it in one module, export ` +
        'it there, and import that module in the others.',
    );
  }
}

/** Warns of a job whose name changes with the build. */
export function checkJobName(label: string, type: string, { job }: OncePerTickSettings, logger: Logger): void {
  if (job !== undefined || type.length > LONGEST_SHORT_NAME) return;
  logger.warn(
    `The job of ${label} is named after its class, whose name looks minified. Replicas of two releases may then have two ` +
      "names for one job, and each run it. Set `job`, as in @OncePerTick({ job: 'nightly-report' }) or " +
      "@LeaderOnly({ catchUp: true, job: 'nightly-report' }), or keep class names in the build.",
  );
}

/** Is one of the scheduled methods under a lock or an election of the registration, and no tick claimed? */
function hasGuardedJob(prototype: object, { name, configured }: Registration): boolean {
  const leaders = new Set(configured.map((election) => getLeaderToken(election, name)));
  const isOurs = ({ decorator, options }: Wrapping): boolean =>
    decorator === 'WithLock'
      ? ((options as WithLockOptions).registration ?? DEFAULT_REGISTRATION) === name
      : decorator === 'LeaderOnly' && leaders.has((options as LeaderOnlyMetadata).token);
  return [...methodsOf(prototype).values()].some((method) => {
    const wrappings = isScheduled(method) ? wrappingsOf(method) : [];
    return wrappings.some(isOurs) && !wrappings.some(({ decorator }) => decorator === 'OncePerTick');
  });
}
