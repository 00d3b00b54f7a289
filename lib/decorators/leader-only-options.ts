import type { Duration } from '../core/duration.js';
import { OptionsCheck } from '../core/options-check.js';
import type { LeaderOnlyMetadata } from '../http/leader.guard.js';
import { getLeaderToken } from './injection.js';

/** The fate of a call on an instance that does not lead. `redirect` and `forward` are for HTTP routes. */
export type LeaderOtherwise = 'skip' | 'reject' | 'redirect' | 'forward';

/** Options of `@LeaderOnly()`. */
export interface LeaderOnlyOptions {
  /**
   * The name of the election that decides.
   *
   * @defaultValue `'default'`
   */
  election?: string;
  /**
   * The registration that the election belongs to.
   *
   * @defaultValue the registration without a name
   */
  registration?: string;
  /**
   * The fate of a call on an instance that does not lead:
   *
   * - `skip` resolves to undefined.
   * - `reject` rejects with a NotLeaderError. An HTTP client gets a 503 with `Retry-After` and `X-Leader`.
   * - `redirect`, for routes only: the client gets a 307 to the `instance.url` of the leader.
   * - `forward`, for routes only: the request is sent to the leader, and the client gets the leader's answer.
   *
   * Where no URL of the leader is known, `redirect` and `forward` answer as `reject` does.
   *
   * @defaultValue `skip` for cron, interval, timeout and event handlers, whose errors nobody receives; `reject` for the
   *   rest
   */
  otherwise?: LeaderOtherwise;
  /**
   * With `forward` only: the time for which the leader may be silent before its answer begins. Then the client gets a
   * 504.
   *
   * @defaultValue `'30s'`
   */
  timeout?: Duration;
  /**
   * For `@Cron()` methods: claims each fire as `@OncePerTick()` does. At the start of each term the newest fire runs,
   * if nobody ran it.
   *
   * @defaultValue `false`
   */
  catchUp?: boolean;
  /**
   * With `catchUp` only: the name of the job in the store. All instances must use the same name, and no two methods may
   * share one.
   *
   * @defaultValue class and method: `Reports.nightly`
   */
  job?: string;
}
export const CHOICES: readonly LeaderOtherwise[] = ['skip', 'reject', 'redirect', 'forward'];
export const FORWARD_TIMEOUT = 30000;
/** True for a choice that only HTTP requests have. */
export function forRequests(otherwise: LeaderOtherwise | undefined): boolean {
  return otherwise === 'redirect' || otherwise === 'forward';
}
export function checkOptions(options: LeaderOnlyOptions): LeaderOnlyMetadata {
  const check = new OptionsCheck('@LeaderOnly');
  const {
    election,
    registration,
    otherwise,
    timeout,
    catchUp = false,
    job,
  } = check.object(options, '', ['election', 'registration', 'otherwise', 'timeout', 'catchUp', 'job']);
  check.ofType(job, 'job', 'string');
  if (job === '') check.problem('job: must not be empty.');
  if (job !== undefined && !catchUp) check.problem('job: has no effect without catchUp.');
  check.ofType(election, 'election', 'string');
  check.ofType(registration, 'registration', 'string');
  check.ofType(catchUp, 'catchUp', 'boolean');
  if (election === '') check.problem('election: must not be empty.');
  if (otherwise !== undefined && !CHOICES.includes(otherwise)) {
    check.problem(`otherwise: expected ${CHOICES.map((choice) => `'${choice}'`).join(', ')}.`);
  }
  if (timeout !== undefined && otherwise !== 'forward') check.problem("timeout: has no effect without 'forward'.");
  const forwardTimeout = check.duration(timeout, 'timeout', FORWARD_TIMEOUT);
  check.done();
  return { token: getLeaderToken(election, registration), otherwise, timeout: forwardTimeout };
}
