import { SetMetadata, UseGuards } from '@nestjs/common';
import { filter, firstValueFrom } from 'rxjs';
import { LockConfigError } from '../core/errors.js';
import { LEADER_ONLY, LeaderGuard, type LeaderOnlyMetadata } from '../http/leader.guard.js';
import type { LeaderService } from '../leader/leader.service.js';
import type { LeadershipState } from '../leader/leadership.js';
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
import { checkOptions, forRequests, type LeaderOnlyOptions, type LeaderOtherwise } from './leader-only-options.js';
import { OncePerTick } from './once-per-tick.js';
import {
  type AsyncMethod,
  decoratedMethod,
  ensureSlot,
  type SkipFits,
  wrapMethod,
  type WrappedCall,
  wrappingsOf,
} from './wrap-method.js';

/** Accepts classes, and methods that return a promise. */
export interface LeaderOnlyDecorator<Choice = 'reject'> {
  (target: abstract new (...args: never[]) => unknown): void;
  <Method extends AsyncMethod>(
    target: object,
    property: string | symbol,
    descriptor: TypedPropertyDescriptor<Method> & SkipFits<Choice, Method>,
  ): void;
}

/**
 * Lets a method or a class work on the leader only. On a class, the other instances
 *
 * - refuse its routes and messages, or redirect or forward them. No message is skipped, because the broker would take
 *   it as done;
 * - skip its cron, interval, timeout and event handlers;
 * - pause the worker of a BullMQ processor.
 *
 * A hand-over waits for the promise that a running method returned. It does not wait for the end of an Observable. A
 * method learns of the end of its term by `LeaderService.assertLeader().signal`.
 *
 * @param options the name of an election, or options
 * @throws LockConfigError at once, when an option is wrong. With `reject` a call on another instance rejects with a
 *   NotLeaderError
 */
export function LeaderOnly<Choice extends LeaderOtherwise = 'reject'>(
  options: string | (LeaderOnlyOptions & { otherwise?: Choice }) = {},
): LeaderOnlyDecorator<Choice> {
  const checked = checkOptions(typeof options === 'string' ? { election: options } : options);
  const { token, otherwise } = checked;
  // Inside of the gate: a follower must not claim a fire that it then skips.
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
    // Also for a base class without handlers: without the module no application with a subclass may start.
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
      // `redirect` and `forward` concern routes only. Jobs and messages get their default.
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

/** True when this instance knows who leads, itself or another one, or will not learn it any more. */
function isLeaderKnown({ leader, role }: LeadershipState): boolean {
  return leader !== null || role === 'stopped';
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
    // The term may have ended between the two looks at the clock. Then undefined is a refusal, not a result.
    if (entered || service.isLeader()) return result;
  }
  // Read at the call: the decorators above this one have run by now, and may have wrapped the method again.
  const method = (instance as Record<string | symbol, object>)[property]!;
  // The double of a unit test may have no state.
  const { state, state$ }: Partial<LeaderService> = service;
  if (isTimeout(method) && state && state$ && !isLeaderKnown(state)) {
    // A timeout fires once, often before anybody leads. Skipped everywhere, it would never run.
    const known = firstValueFrom(state$.pipe(filter(isLeaderKnown)), { defaultValue: undefined });
    return known.then(() => runIfLeader(call, property, otherwise));
  }
  if (property === 'process' && isProcessorClass((instance as object).constructor)) return giveJobBack(args);
  if ((otherwise ?? (isBackgroundHandler(method) ? 'skip' : 'reject')) === 'skip') return undefined;
  service.assertLeader();
  return undefined;
}
