import { Inject } from '@nestjs/common';
import { DEFAULT_ELECTION } from '../leader/election-options.js';

export const DEFAULT_REGISTRATION = 'default';
// Strings, not classes: they are the same in the ESM and the CommonJS copy of this package, and readable where Nest
// says that it cannot resolve a dependency.
export const getLockServiceToken = (registration?: string): string => token('LockService', registration);
export const getLeaderToken = (election?: string, registration?: string): string =>
  token('LeaderService', registration, election);
export const getLeaderElectionsToken = (registration?: string): string => token('LeaderElections', registration);
export const getJobServiceToken = (registration?: string): string => token('JobService', registration);

export const getFireServiceToken = (registration?: string): string => token('FireService', registration);

/** Injects the `LockService` of a named registration; without a name that of the default one. */
export function InjectLockService(registration?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getLockServiceToken(registration));
}

/**
 * Injects the `LeaderService` of an election; without a name that of the election named `default`, which is what the
 * class injects, too.
 *
 * @param registration the named registration that it belongs to; default: the one without a name
 */
export function InjectLeader(election?: string, registration?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getLeaderToken(election, registration));
}

/** Injects the `LeaderElections` of a named registration; without a name that of the default one. */
export function InjectLeaderElections(registration?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getLeaderElectionsToken(registration));
}

/** Injects the `JobService` of a named registration; without a name that of the default one. */
export function InjectJobService(registration?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getJobServiceToken(registration));
}

function token(service: string, name = DEFAULT_REGISTRATION, election = DEFAULT_ELECTION): string {
  if (election !== DEFAULT_ELECTION) return `${service}(${name}/${election})`;
  return name === DEFAULT_REGISTRATION ? service : `${service}(${name})`;
}
