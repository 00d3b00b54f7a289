import { Inject } from '@nestjs/common';
import { DEFAULT_ELECTION } from '../leader/election-options.js';

export const DEFAULT_REGISTRATION = 'default';

// The tokens are strings, not classes. A string is the same in the ESM and the CommonJS copy of this package. It is
// readable in the message of Nest about a dependency that cannot be resolved.

/**
 * The injection token of a `LockService`.
 *
 * @param registration the name of the registration; default: the registration without a name
 */
export const getLockServiceToken = (registration?: string): string => token('LockService', registration);

/**
 * The injection token of the `LeaderService` of an election.
 *
 * @param election the name of the election; default: `default`
 * @param registration the name of the registration; default: the registration without a name
 */
export const getLeaderToken = (election?: string, registration?: string): string =>
  token('LeaderService', registration, election);

/**
 * The injection token of a `LeaderElections`.
 *
 * @param registration the name of the registration; default: the registration without a name
 */
export const getLeaderElectionsToken = (registration?: string): string => token('LeaderElections', registration);
export const getJobServiceToken = (registration?: string): string => token('JobService', registration);

export const getFireServiceToken = (registration?: string): string => token('FireService', registration);

/**
 * Injects a `LockService`.
 *
 * @param registration the name of the registration; default: the registration without a name, as the class injects
 */
export function InjectLockService(registration?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getLockServiceToken(registration));
}

/**
 * Injects the `LeaderService` of an election.
 *
 * @param election the name of the election; default: `default`, as the class injects
 * @param registration the name of the registration; default: the registration without a name
 */
export function InjectLeader(election?: string, registration?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getLeaderToken(election, registration));
}

/**
 * Injects a `LeaderElections`.
 *
 * @param registration the name of the registration; default: the registration without a name, as the class injects
 */
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
