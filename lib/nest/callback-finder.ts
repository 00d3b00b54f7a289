import { LockConfigError } from '../core/errors.js';
import { methodsOf } from '../decorators/framework-metadata.js';
import { type LeaderCallbackMark, leaderCallbackMarksOf } from '../decorators/leader-callbacks.js';
import type { Discovered } from './discovered.js';
import type { Registration } from './registration.js';

/**
 * Registers the methods under `@OnStartedLeading()`, `@OnStoppedLeading()` and `@OnNewLeader()` with the elections of a
 * registration.
 *
 * @throws LockConfigError when Nest makes more than one instance of the class of such a method
 */
export function registerLeaderCallbacks(found: readonly Discovered[], registration: Registration): void {
  const seen = new Set<object>();
  for (const { instance, isShared } of found) {
    // Several providers may be one instance by other names (`useExisting`).
    if (!instance || seen.has(instance)) continue;
    seen.add(instance);
    const prototype = Object.getPrototypeOf(instance) as object | null;
    for (const [method, value] of prototype ? methodsOf(prototype) : []) {
      for (const mark of leaderCallbackMarksOf(value)) {
        if (mark.registration === registration.name) register(instance, isShared, method, mark, registration);
      }
    }
  }
}

function register(
  instance: object,
  isShared: boolean,
  method: string,
  { kind, decorator, election }: LeaderCallbackMark,
  registration: Registration,
): void {
  const label = `${instance.constructor.name}.${method}`;
  if (!isShared) {
    throw new LockConfigError(
      `@${decorator} on ${label}: Nest makes several instances of this class, or none, because it or something that it ` +
        'injects is request-scoped or transient. Move the method to a provider of the default scope.',
    );
  }
  // The method is read at the call, so that a test can replace it.
  const call = (argument: unknown): unknown =>
    (instance as Record<string, (argument: unknown) => unknown>)[method]!(argument);
  registration.elections.get(election).callbacks.add(kind, label, call);
}
