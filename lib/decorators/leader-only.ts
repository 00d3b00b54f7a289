import { SetMetadata, UseGuards } from '@nestjs/common';
import type { Duration } from '../core/duration.js';
import { LockConfigError } from '../core/errors.js';
import { OptionsCheck } from '../core/options-check.js';
import { LEADER_ONLY, LeaderGuard, type LeaderOnlyMetadata } from '../http/leader.guard.js';
import { knownLeader, knowsLeader } from '../leader/known-leader.js';
import type { LeaderService } from '../leader/leader.service.js';
import {
  giveJobBack,
  isBackgroundHandler,
  isCron,
  isGuardedHandler,
  isProcessor,
  isProcessorClass,
  isRoute,
  isTimeout,
  methodsOf,
} from './framework-metadata.js';
import { getLeaderToken } from './injection.js';
import type { AsyncMethod, SkipFits } from './method-types.js';
import { OncePerTick } from './once-per-tick.js';
import { decoratedMethod, ensureSlot, wrapMethod, type WrappedCall, wrappingsOf } from './wrap-method.js';

/** What a call does on an instance that does not lead. `redirect` and `forward` are for HTTP routes. */
export type LeaderOtherwise = 'skip' | 'reject' | 'redirect' | 'forward';

export interface LeaderOnlyOptions {
  /** The election that decides. Default: `default`. */
  election?: string;
  /** The named registration that the election belongs to. Default: the registration without a name. */
  registration?: string;
  /**
   * What a call does on an instance that does not lead: `skip` returns undefined, `reject` throws a NotLeaderError (503
   * with `Retry-After` and `X-Leader` on HTTP). For routes also `redirect`, a 307 to the leader's `instance.url`, and
   * `forward`, which passes the request on to the leader and its answer back.
   * Default: `skip` for cron, interval, timeout and event handlers, where nobody can receive an error; else `reject`.
   */
  otherwise?: LeaderOtherwise;
  /** With `forward`: for how long the leader may be silent before its answer begins. Default: 30 s. */
  timeout?: Duration;
  /**
   * For `@Cron()` methods: claims each fire as `@OncePerTick()` does, and at the beginning of a term runs the newest one
   * that nobody ran. Default: false.
   */
  catchUp?: boolean;
  /** With `catchUp`: what the instances know the job by. Default: class and method, `Reports.nightly`. */
  job?: string;
}

/** Accepts classes, and methods that return a promise. */
export interface LeaderOnlyDecorator<Choice = 'reject'> {
  (target: abstract new (...args: never[]) => unknown): void;
  <Method extends AsyncMethod>(
    target: object,
    property: string | symbol,
    descriptor: TypedPropertyDescriptor<Method> & SkipFits<Choice, Method>,
  ): void;
}

const CHOICES: readonly LeaderOtherwise[] = ['skip', 'reject', 'redirect', 'forward'];
const FORWARD_TIMEOUT = 30_000;

/**
 * Lets a method, or a class, work on the leader only. A class: all its routes and message handlers are guarded, all its
 * scheduled and event handlers are skipped on other instances, and the worker of a BullMQ processor is paused there. A
 * message is never skipped, because the broker would take it as done: it is rejected. A hand-over waits for the promise
 * that a running method returned, not for the end of an Observable; what ends the method is
 * `LeaderService.assertLeader().signal`.
 *
 * @param options the name of an election, or options
 * @throws LockConfigError at once, when an option is wrong
 */
export function LeaderOnly<Choice extends LeaderOtherwise = 'reject'>(
  options: string | (LeaderOnlyOptions & { otherwise?: Choice }) = {},
): LeaderOnlyDecorator<Choice> {
  const checked = checkOptions(typeof options === 'string' ? { election: options } : options);
  const { token, otherwise } = checked;
  // Inside of the gate: a follower must not claim what it skips.
  const claims = catchUpOf(options);
  const wrap = (
    target: object,
    property: string | symbol,
    descriptor: PropertyDescriptor | undefined,
    own = checked,
  ): void =>
    wrapMethod<LeaderService>(
      'LeaderOnly',
      token,
      own,
      [target, property, descriptor],
      (call) => runIfLeader(call, property, own.otherwise),
      token,
    );
  const guard = (...target: Parameters<MethodDecorator>): void => {
    SetMetadata<string, LeaderOnlyMetadata>(LEADER_ONLY, checked)(...target);
    UseGuards(LeaderGuard)(...target);
  };

  return (target: object, property?: string | symbol, descriptor?: PropertyDescriptor) => {
    if (property !== undefined) {
      decoratedMethod('LeaderOnly', [target, property, descriptor]);
      claims?.(target, property, descriptor!);
      wrap(target, property, descriptor);
      if (otherwise !== 'skip') guard(target, property, descriptor!);
      return;
    }
    const { prototype, name } = target as { prototype: object; name: string };
    // Also for a base class whose subclasses have the handlers: without the module the application must not start.
    ensureSlot(prototype, token);
    const methods = methodsOf(prototype);
    if (claims && ![...methods.values()].some(isCron)) {
      throw new LockConfigError(
        `@LeaderOnly({ catchUp: true }) on class ${name} has no effect: it has no @Cron() method.`,
      );
    }
    for (const [method, value] of methods) {
      const isHandler = isBackgroundHandler(value) || isGuardedHandler(value) || isProcessor(target, method);
      if (!isHandler || isLeaderOnly(value)) continue;
      const wrapped = { value, writable: true, configurable: true, enumerable: false };
      if (isCron(value)) claims?.(prototype, method, wrapped);
      // Where requests go says nothing of jobs and messages.
      const forRoutes = forRequests(otherwise) && !isRoute(value);
      wrap(prototype, method, wrapped, forRoutes ? { ...checked, otherwise: undefined } : checked);
      Object.defineProperty(prototype, method, wrapped);
    }
    (guard as unknown as (type: object) => void)(target);
  };
}

export function isLeaderOnly(method: unknown): boolean {
  return wrappingsOf(method).some(({ decorator }) => decorator === 'LeaderOnly');
}

/** Whether the choice is one for HTTP requests only. */
export function forRequests(otherwise: LeaderOtherwise | undefined): boolean {
  return otherwise === 'redirect' || otherwise === 'forward';
}

function catchUpOf(options: string | LeaderOnlyOptions): MethodDecorator | undefined {
  const { catchUp, job, registration } = typeof options === 'string' ? {} : options;
  return catchUp
    ? (OncePerTick({
        catchUp,
        ...(job === undefined ? {} : { job }),
        ...(registration === undefined ? {} : { registration }),
      }) as MethodDecorator)
    : undefined;
}

function checkOptions(options: LeaderOnlyOptions): LeaderOnlyMetadata {
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

function runIfLeader(
  call: WrappedCall<LeaderService>,
  property: string | symbol,
  otherwise: LeaderOtherwise | undefined,
): unknown {
  const { service, instance, args, proceed } = call;
  if (service.isLeader()) {
    let entered = false;
    const result = service.runAsLeader(() => {
      entered = true;
      return proceed() as Promise<unknown>;
    });
    // The term may have ended between the two looks at the clock: that is a refusal, not a result.
    if (entered || service.isLeader()) return result;
  }
  // Looked up at the call, on the instance: decorators above this one have run, and perhaps wrapped the method again.
  const method = (instance as Record<string | symbol, object>)[property]!;
  if (isTimeout(method) && !knowsLeader(service)) {
    // It fires once, often before anybody leads: then nobody would ever run it.
    return knownLeader(service).then(() => runIfLeader(call, property, otherwise));
  }
  if (property === 'process' && isProcessorClass((instance as object).constructor)) return giveJobBack(args);
  if ((otherwise ?? (isBackgroundHandler(method) ? 'skip' : 'reject')) === 'skip') return undefined;
  service.assertLeader();
  return undefined;
}
