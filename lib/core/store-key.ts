import { LockKeyError } from './errors.js';

/**
 * The grammar of names in the store: `namespace:kind:name`. A namespace has neither ':' nor braces and the kind is one
 * letter, so no name, whatever its characters, can reach another namespace or turn a lock into an election.
 */
export const NAMESPACE = /^[\w.-]+$/;

export const LONGEST_KEY = 500;

/** @throws LockKeyError when the key is empty, over 500 characters, or not well-formed Unicode */
export function lockStoreKey(namespace: string, key: string): string {
  return `${namespace}:l:${checkKey(key, 500)}`;
}

/** @param statusCode of the error: 400 where the key is made of the arguments of a call */
export function checkKey(key: string, statusCode: 400 | 500): string {
  const refuse = (message: string): LockKeyError => new LockKeyError(message, statusCode);
  if (typeof key !== 'string' || key === '') throw refuse('A lock key must be a string that is not empty.');
  if (key.length > LONGEST_KEY) {
    throw refuse(
      `Lock key "${key.slice(0, 40)}…" has ${key.length} characters; at most ${LONGEST_KEY} are allowed. Hash the long part.`,
    );
  }
  if (!key.isWellFormed()) {
    throw refuse(`Lock key ${JSON.stringify(key)} holds half a surrogate pair: different keys would become one.`);
  }
  return key;
}

export function electionStoreKey(namespace: string, election: string): string {
  return `${namespace}:e:${election}`;
}

/** The scope of an election's members in the fact store. */
export function membersScope(namespace: string, election: string): string {
  return `${namespace}:m:${election}`;
}

/** The scope of the claimed fires of an application's jobs. */
export function firesScope(namespace: string): string {
  return `${namespace}:f:`;
}

/** The name of the election whose lease it is; undefined for a lock. */
export function electionOf(storeKey: string): string | undefined {
  const kind = storeKey.indexOf(':');
  return storeKey.startsWith(':e:', kind) ? storeKey.slice(kind + 3) : undefined;
}

/** The name in messages: `Lock "order:42"`, `Election "default"`. */
export function subjectOf(storeKey: string, key: string): string {
  return electionOf(storeKey) === undefined ? `Lock "${key}"` : `Election "${key}"`;
}

export function namespaceOf(storeKey: string): string {
  return storeKey.slice(0, storeKey.indexOf(':'));
}
