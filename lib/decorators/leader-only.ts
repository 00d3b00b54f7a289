import { SetMetadata, UseGuards } from '@nestjs/common';
import { OptionsCheck } from '../core/options-check.js';
import type { LeaderService } from '../leader/leader.service.js';
import { leaderToken } from '../nest/injection.js';
import { LEADER_ONLY, type LeaderOnlyMetadata, LeaderGuard } from '../nest/leader.guard.js';
import { isBackgroundHandler, isGuardedHandler, methodsOf } from './framework-metadata.js';
import type { AsyncMethod, SkipFits } from './method-types.js';
import { ensureSlot, type WrappedCall, wrapMethod, wrappingsOf } from './wrap-method.js';

export interface LeaderOnlyOptions {
  /** The named registration whose election decides. Default: the registration without a name. */
  name?: string;
  /**
   * What a call does on an instance that does not lead: `skip` returns undefined, `reject` throws a NotLeaderError.
   * Default: `skip` for cron, interval, timeout and event handlers, where nobody can receive an error; else `reject`.
   */
  otherwise?: 'skip' | 'reject';
}

/** Accepts classes, and methods that return a promise. */
export interface LeaderOnlyDecorator<Otherwise = 'reject'> {
  (target: abstract new (...args: never[]) => unknown): void;
  <Method extends AsyncMethod>(
    target: object,
    property: string | symbol,
    descriptor: TypedPropertyDescriptor<Method> & SkipFits<Otherwise, Method>,
  ): void;
}

/**
 * Lets a method, or a class, work on the leader only. A class: all its routes and message handlers are guarded, and
 * all its scheduled and event handlers are skipped on other instances. A message is never skipped, because the broker
 * would take it as done: it is rejected. A hand-over waits for the promise that a running method returned, not for the
 * end of an Observable.
 *
 * @throws LockConfigError at once, when an option is wrong
 */
export function LeaderOnly<Otherwise extends 'skip' | 'reject' = 'reject'>(
  options: LeaderOnlyOptions & { otherwise?: Otherwise } = {},
): LeaderOnlyDecorator<Otherwise> {
  const check = new OptionsCheck('@LeaderOnly');
  const { name, otherwise } = check.object(options, '', ['name', 'otherwise']);
  check.ofType(name, 'name', 'string');
  if (otherwise !== undefined && !['skip', 'reject'].includes(otherwise)) {
    check.problem("otherwise: expected 'skip' or 'reject'.");
  }
  check.done();

  const token = leaderToken(name);
  const wrap = (target: object, property: string | symbol, descriptor: PropertyDescriptor | undefined): void =>
    wrapMethod<LeaderService>('LeaderOnly', token, options, [target, property, descriptor], (call) =>
      runIfLeader(call, property, otherwise),
    );
  const guard = (guarded: LeaderOnlyMetadata): MethodDecorator & ClassDecorator =>
    ((...target: Parameters<MethodDecorator>) => {
      SetMetadata(LEADER_ONLY, guarded)(...target);
      UseGuards(LeaderGuard)(...target);
    }) as MethodDecorator & ClassDecorator;

  return (target: object, property?: string | symbol, descriptor?: PropertyDescriptor) => {
    if (property !== undefined) {
      wrap(target, property, descriptor);
      if (otherwise !== 'skip') guard({ token })(target, property, descriptor!);
      return;
    }
    const { prototype } = target as { prototype: object };
    // Also for a base class whose subclasses have the handlers: without the module the application must not start.
    ensureSlot(prototype, token);
    for (const [method, value] of methodsOf(prototype)) {
      const isHandler = isBackgroundHandler(value) || isGuardedHandler(value);
      if (!isHandler || isLeaderOnly(value)) continue;
      const wrapped = { value, writable: true, configurable: true, enumerable: false };
      wrap(prototype, method, wrapped);
      Object.defineProperty(prototype, method, wrapped);
    }
    guard({ token })(target as () => void);
  };
}

export function isLeaderOnly(method: unknown): boolean {
  return wrappingsOf(method).some(({ decorator }) => decorator === 'LeaderOnly');
}

function runIfLeader(
  { service, instance, proceed }: WrappedCall<LeaderService>,
  property: string | symbol,
  otherwise: LeaderOnlyOptions['otherwise'],
): unknown {
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
  if ((otherwise ?? (isBackgroundHandler(method) ? 'skip' : 'reject')) === 'skip') return undefined;
  service.assertLeader();
  return undefined;
}
