import { Inject } from '@nestjs/common';

export const DEFAULT_REGISTRATION = 'default';

// Strings, not classes: they are the same in the ESM and the CommonJS copy of this package, and readable where Nest
// says that it cannot resolve a dependency.
export const lockServiceToken = (name: string = DEFAULT_REGISTRATION): string => token('LockService', name);
export const leaderToken = (name: string = DEFAULT_REGISTRATION): string => token('LeaderService', name);

/** Injects the `LockService` of a named registration; without a name that of the default one. */
export function InjectLockService(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(lockServiceToken(name));
}

function token(service: string, name: string): string {
  return name === DEFAULT_REGISTRATION ? service : `${service}(${name})`;
}
