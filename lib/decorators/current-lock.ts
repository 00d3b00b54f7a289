import { LockConfigError } from '../core/errors.js';

const PARAMETERS = 'nestjs-dist-lock:current-lock';

/**
 * Passes the `Lock` of the surrounding `@WithLock()` to the parameter. Callers do not pass it, so declare the parameter
 * as optional: `lock?: Lock`.
 *
 * @throws LockConfigError at once, on anything other than a parameter of a method
 */
export function CurrentLock(): ParameterDecorator {
  return (target, property, index) => {
    if (property === undefined || typeof index !== 'number') {
      throw new LockConfigError(
        '@CurrentLock: only a parameter of a method under @WithLock can be decorated, not one of a constructor, a ' +
          'property or a method.',
      );
    }
    Reflect.defineMetadata(PARAMETERS, [...lockParameters(target, property), index], target, property);
  };
}

/** The indexes of the parameters that receive the lock. An overriding method does not inherit them. */
export function lockParameters(target: object, property: string | symbol): readonly number[] {
  return (Reflect.getOwnMetadata(PARAMETERS, target, property) as number[] | undefined) ?? [];
}
