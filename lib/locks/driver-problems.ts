import { type Fields, isObject, isTime } from './driver-answers.js';

const METHODS = ['connect', 'acquire', 'cancel', 'renew', 'release', 'inspect', 'close'] as const;
const OPTIONAL_METHODS = ['keepPlaces', 'renewalGroup', 'reserve'] as const;
const FACT_STORE_METHODS = ['put', 'remove', 'list', 'watch', 'advance'] as const;

/** The members that an object lacks to be a driver, for people; empty where it is one. Its answers are checked later. */
export function driverProblems(driver: unknown): string[] {
  if (!isObject(driver) || METHODS.every((name) => typeof driver[name] !== 'function')) {
    return ['expected a driver, such as new RedisDriver({ url }).'];
  }
  const { capabilities, facts } = driver;
  const type = driver.constructor === Object ? 'it' : driver.constructor?.name || 'it';
  const lacks = (object: Fields, names: readonly string[], prefix = ''): string[] =>
    names.filter((name) => typeof object[name] !== 'function').map((name) => `${type} has no ${prefix}${name}().`);
  const present = OPTIONAL_METHODS.filter((name) => driver[name] !== undefined);
  const problems = [...lacks(driver, METHODS), ...lacks(driver, present)];
  if (typeof driver['name'] !== 'string' || driver['name'] === '') problems.push(`${type} has no name.`);
  if (facts !== undefined) problems.push(...lacks(isObject(facts) ? facts : {}, FACT_STORE_METHODS, 'facts.'));
  if (!isObject(capabilities)) return [...problems, `${type} has no capabilities.`];
  const { scope, queue, push, minTtl, maxTtl } = capabilities;
  if (scope !== 'process' && scope !== 'server') problems.push("capabilities.scope: expected 'process' or 'server'.");
  if (typeof queue !== 'boolean') problems.push('capabilities.queue: expected a boolean.');
  if (typeof push !== 'boolean') problems.push('capabilities.push: expected a boolean.');
  if (!isTime(minTtl)) problems.push('capabilities.minTtl: expected milliseconds.');
  if (maxTtl !== undefined && !isTime(maxTtl)) problems.push('capabilities.maxTtl: expected milliseconds, or nothing.');
  return problems;
}
