import { Inject } from '@nestjs/common';

export const DEFAULT_REGISTRATION = 'default';
export const DEFAULT_ELECTION = 'default';

// Strings, not classes: they are the same in the ESM and the CommonJS copy of this package, and readable where Nest
// says that it cannot resolve a dependency.
export const lockServiceToken = (name: string = DEFAULT_REGISTRATION): string => token('LockService', name);
export const leaderToken = (name: string = DEFAULT_REGISTRATION, election: string = DEFAULT_ELECTION): string =>
  token('LeaderService', name, election);
export const leaderElectionsToken = (name: string = DEFAULT_REGISTRATION): string => token('LeaderElections', name);

export const fireToken = (name: string = DEFAULT_REGISTRATION): string => token('FireService', name);

/** Injects the `LockService` of a named registration; without a name that of the default one. */
export function InjectLockService(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(lockServiceToken(name));
}

/**
 * Injects the `LeaderService` of an election; without a name that of the election named `default`, which is what the
 * class injects, too.
 *
 * @param registration the named registration that it belongs to; default: the one without a name
 */
export function InjectLeader(election?: string, registration?: string): PropertyDecorator & ParameterDecorator {
  return Inject(leaderToken(registration, election));
}

/** Injects the `LeaderElections` of a named registration; without a name that of the default one. */
export function InjectLeaderElections(registration?: string): PropertyDecorator & ParameterDecorator {
  return Inject(leaderElectionsToken(registration));
}

function token(service: string, name: string, election = DEFAULT_ELECTION): string {
  if (election !== DEFAULT_ELECTION) return `${service}(${name}/${election})`;
  return name === DEFAULT_REGISTRATION ? service : `${service}(${name})`;
}
