import type { Duration, Milliseconds } from '../core/duration.js';
import { OptionsCheck } from '../core/options-check.js';
import { TICK_TOLERANCE } from '../core/tick-tolerance.js';
import { getFireServiceToken } from './injection.js';
import type { AsyncMethod, SkipFits } from './method-types.js';
import { wrapMethod } from './wrap-method.js';

export interface OncePerTickOptions {
  /** What the instances know the job by. Default: class and method, `Reports.nightly`. */
  job?: string;
  /** By how much a tick may come before its scheduled time. Default: 1 s; never more than half the interval. */
  tolerance?: Duration;
  /**
   * Runs the newest fire that nobody ran, if there is one: at the start of the application, or, under `@LeaderOnly()`,
   * of each term. Default: false.
   */
  catchUp?: boolean;
  /** The named registration whose store the instances share. Default: the registration without a name. */
  registration?: string;
}

/** The options, checked and with defaults. */
export interface OncePerTickSettings {
  readonly job: string | undefined;
  readonly tolerance: Milliseconds;
  readonly catchUp: boolean;
  readonly token: string;
}

/** Runs a fire on one instance: whatever is bound to `settings.token`. */
export interface TickGate {
  /** Runs `work` if this instance is the first to claim the fire. */
  tick(
    instance: object,
    property: string | symbol,
    settings: OncePerTickSettings,
    work: () => unknown,
  ): Promise<unknown>;
}

/** Accepts methods that return a promise, of which the result may be undefined. */
export type OncePerTickDecorator = <Method extends AsyncMethod>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<Method> & SkipFits<'skip', Method>,
) => void;

/**
 * Runs each fire of a `@Cron()` method on one instance, whichever is first: the fire is claimed in the store before the
 * method runs. On the others the call resolves to undefined. At most once, also where the clocks differ: an instance
 * that dies after its claim leaves a fire that nobody runs, which is reported as a `fire-abandoned` event.
 *
 * @throws LockConfigError at once, when an option is wrong
 */
export function OncePerTick(options: OncePerTickOptions = {}): OncePerTickDecorator {
  const check = new OptionsCheck('@OncePerTick');
  const {
    job,
    tolerance,
    catchUp = false,
    registration,
  } = check.object(options, '', ['job', 'tolerance', 'catchUp', 'registration']);
  check.ofType(job, 'job', 'string');
  check.ofType(registration, 'registration', 'string');
  check.ofType(catchUp, 'catchUp', 'boolean');
  if (job === '') check.problem('job: must not be empty.');
  const settings: OncePerTickSettings = {
    job,
    tolerance: check.duration(tolerance, 'tolerance', TICK_TOLERANCE),
    catchUp,
    token: getFireServiceToken(registration),
  };
  check.done();
  return (target, property, descriptor) =>
    wrapMethod<TickGate>('OncePerTick', settings.token, settings, [target, property, descriptor], (call) =>
      call.service.tick(call.instance as object, property, settings, () => call.proceed()),
    );
}
