import type { DiscoveryService } from '@nestjs/core';
import { LockConfigError } from '../core/errors.js';
import { methodsOf } from '../decorators/framework-metadata.js';
import { type LeaderCallbackMark, leaderCallbackMarksOf } from '../decorators/leader-callbacks.js';
import type { Registration } from './registration.js';

type InstanceWrapper = ReturnType<DiscoveryService['getProviders']>[number];

/**
 * Finds the methods that follow a registration's elections, and has them called.
 *
 * @throws LockConfigError for one of a class of which Nest makes more than one instance
 */
export function registerLeaderCallbacks(discovery: DiscoveryService, registration: Registration): void {
  const seen = new Set<object>();
  for (const wrapper of [...discovery.getProviders(), ...discovery.getControllers()]) {
    const instance: unknown = wrapper.instance;
    // Some providers are the same instance by another name.
    if (typeof instance !== 'object' || instance === null || seen.has(instance)) continue;
    seen.add(instance);
    const prototype = Object.getPrototypeOf(instance) as object | null;
    for (const [method, value] of prototype ? methodsOf(prototype) : []) {
      for (const mark of leaderCallbackMarksOf(value)) {
        if (mark.registration === registration.name) register(wrapper, instance, method, mark, registration);
      }
    }
  }
}

function register(
  wrapper: InstanceWrapper,
  instance: object,
  method: string,
  { kind, decorator, election }: LeaderCallbackMark,
  registration: Registration,
): void {
  const label = `${instance.constructor.name}.${method}`;
  if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient) {
    throw new LockConfigError(
      `@${decorator} on ${label}: Nest makes several instances of this class, or none, because it or something that it ` +
        'injects is request-scoped or transient. Move the method to a provider of the default scope.',
    );
  }
  // Looked up at the call, so that a test can replace the method.
  const call = (argument: unknown): unknown =>
    (instance as Record<string, (argument: unknown) => unknown>)[method]!(argument);
  registration.elections.get(election).callbacks.add(kind, label, call);
}
