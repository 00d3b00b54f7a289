import type { Duration, Milliseconds } from '../core/duration.js';
import { OptionsCheck } from '../core/options-check.js';
import { TICK_TOLERANCE } from '../core/tick-tolerance.js';
import { getFireServiceToken } from './injection.js';
import { type AsyncMethod, type SkipFits, wrapMethod } from './wrap-method.js';

/** Options of `@OncePerTick()`. */
export interface OncePerTickOptions {
  /**
   * The name of the job in the store. All instances must use the same name, and no two methods may share one.
   *
   * @defaultValue class and method: `Reports.nightly`
   */
  job?: string;
  /**
   * The time by which a tick may come before its scheduled time, because clocks differ. Half of the interval between
   * two fires is the most that counts.
   *
   * @defaultValue `'1s'`
   */
  tolerance?: Duration;
  /**
   * Runs the newest fire if nobody ran it: at the start of the application or, under `@LeaderOnly()`, at the start of
   * each term.
   *
   * @defaultValue `false`
   */
  catchUp?: boolean;
  /**
   * The registration whose store the instances share.
   *
   * @defaultValue the registration without a name
   */
  registration?: string;
}

/** The options, checked and with defaults. */
export interface OncePerTickSettings {
  readonly job: string | undefined;
  readonly tolerance: Milliseconds;
  readonly catchUp: boolean;
  readonly token: string;
}

/** Runs a fire on one instance. The provider of `settings.token` implements it. */
export interface TickGate {
  /** Runs `work` if this instance is the first to claim the fire. */
  tick(
    instance: object,
    property: string | symbol,
    settings: OncePerTickSettings,
    work: () => unknown,
  ): Promise<unknown>;
}

/** Accepts methods that return a promise whose result may be undefined. */
export type OncePerTickDecorator = <Method extends AsyncMethod>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<Method> & SkipFits<'skip', Method>,
) => void;

/**
 * Runs each fire of a `@Cron()` method on one instance. The instance that is the first to claim the fire in the store
 * runs the method; on the others the call resolves to undefined.
 *
 * A fire runs at most once, also where the clocks of the instances differ.
 *
 * Not covered: an instance that dies after its claim. Nobody runs that fire. A `fire-abandoned` event reports it.
 *
 * @throws LockConfigError at once, when an option is wrong. A call rejects with the error of the method, or with the
 *   error of the store when the store did not answer for half of the interval, for 30 s at most
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
