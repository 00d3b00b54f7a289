import { LockConfigError } from '../core/errors.js';

const PARAMETERS = 'nestjs-dist-lock:current-lock';

/**
 * The parameter receives the `Lock` of the surrounding `@WithLock`. Make it optional: callers do not pass it.
 *
 * @throws LockConfigError at once, on anything but a parameter of a method
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

/** The indexes of the parameters of a method that receive the lock; an overriding method has its own. */
export function lockParameters(target: object, property: string | symbol): readonly number[] {
  return (Reflect.getOwnMetadata(PARAMETERS, target, property) as number[] | undefined) ?? [];
}
