import 'reflect-metadata';

export type { AcquireOptions, TryOptions } from './core/acquire-options.js';
export { currentLock } from './core/call-chain.js';
export type { Duration } from './core/duration.js';
export {
  DistLockError,
  type DistLockErrorCode,
  DriverUnavailableError,
  LockConfigError,
  LockKeyError,
  LockLostError,
  LockNotAcquiredError,
  LockNotBoundError,
  LockServiceClosedError,
  type LossReason,
  NestedLockError,
  NotLeaderError,
} from './core/errors.js';
export type { LockEvent } from './core/events.js';
export { Lock } from './core/lock.js';
export {
  type AcquireMode,
  type Claim,
  type DriverCapabilities,
  type DriverEvent,
  type DriverListener,
  type Granted,
  heartbeat,
  type LeaseRef,
  type LockDriver,
  type LockRecord,
  type Queued,
  type Refused,
  type RenewOutcome,
  type TokenBlock,
} from './core/lock-driver.js';
export type { Registry } from './core/registry.js';
export { type BoundServices, bindDistLock } from './decorators/bind.js';
export { CurrentLock } from './decorators/current-lock.js';
export { LeaderOnly, type LeaderOnlyDecorator, type LeaderOnlyOptions } from './decorators/leader-only.js';
export { type KeyFunction, lockKey } from './decorators/lock-key.js';
export {
  type LockedMethodDecorator,
  type OnContention,
  WithLock,
  type WithLockOptions,
} from './decorators/with-lock.js';
export { LeaderService } from './leader/leader.service.js';
export type { LeadershipState, Member, Role, Term } from './leader/leadership.js';
export { InjectLockService } from './nest/injection.js';
export { type LockDescription, LockService } from './nest/lock.service.js';
export { DistLockModule, type DistLockModuleExtras } from './nest/module.js';
export type { DistLockModuleOptions, ElectionOptions } from './nest/options.js';
