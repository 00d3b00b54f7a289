import * as main from 'nestjs-dist-lock';

/** One of each class of errors, in the order of the tables in docs. */
export const ERRORS: readonly main.DistLockError[] = [
  new main.LockNotAcquiredError('key', 1),
  new main.TooManyWaitingError('key', 1, 'lock.maxWaiting'),
  new main.LockLostError('key', 1, 'gone'),
  new main.NotLeaderError('default', null, 1),
  new main.MemberNotFoundError('default', 'a', []),
  new main.DriverUnavailableError('', { sent: false }),
  new main.LockServiceClosedError(),
  new main.NestedLockError('key'),
  new main.LockKeyError(''),
  new main.LockConfigError(''),
  new main.LockNotBoundError(''),
];

/** The names of the classes that the package exports. */
export function errorClasses(): string[] {
  const isOne = ([name, value]: [string, unknown]): boolean =>
    name !== 'DistLockError' && Object.prototype.isPrototypeOf.call(main.DistLockError, value as object);
  return Object.entries(main)
    .filter(isOne)
    .map(([name]) => name);
}
