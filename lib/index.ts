/**
 * Locks, leader election and scheduled jobs for NestJS. This entry loads no client library of a store; the drivers for
 * Redis and etcd have entries of their own.
 *
 * @module nestjs-dist-lock
 */
import 'reflect-metadata';

export type { AcquireOptions, TryOptions } from './locks/acquire-options.js';
export { currentFire, currentLock } from './locks/call-chain.js';
export type { Duration } from './core/duration.js';
export {
  DistLockError,
  type DistLockErrorCode,
  DriverUnavailableError,
  LockConfigError,
  LockKeyError,
  LockNotBoundError,
  LockServiceClosedError,
  MemberNotFoundError,
  NotLeaderError,
} from './core/errors.js';
export {
  LockLostError,
  LockNotAcquiredError,
  type LossReason,
  NestedLockError,
  TooManyWaitingError,
} from './core/lock-errors.js';
export type { FireEvent, LockEvent } from './core/events.js';
export type { FactStore } from './core/fact-store.js';
export { Lock } from './locks/lock.js';
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
  type PlaceOutcome,
  type PlaceRef,
  type Queued,
  type Refused,
  type RenewOutcome,
  type TokenBlock,
} from './core/lock-driver.js';
export { type BoundServices, bindDistLock } from './decorators/bind.js';
export { CurrentLock } from './decorators/current-lock.js';
export {
  type LeaderCallbackDecorator,
  type LeaderCallbackOptions,
  OnNewLeader,
  OnStartedLeading,
  OnStoppedLeading,
} from './decorators/leader-callbacks.js';
export { LeaderOnly, type LeaderOnlyDecorator } from './decorators/leader-only.js';
export type { LeaderOnlyOptions, LeaderOtherwise } from './decorators/leader-only-options.js';
export { type KeyFunction, lockKey } from './decorators/lock-key.js';
export { OncePerTick, type OncePerTickDecorator, type OncePerTickOptions } from './decorators/once-per-tick.js';
export {
  type LockedMethodDecorator,
  type LockOtherwise,
  WithLock,
  type WithLockOptions,
} from './decorators/with-lock.js';
export { gateByLeader } from './leader/gate-by-leader.js';
export type { StartedLeading } from './leader/term-callbacks.js';
export type { LeaderEvent } from './leader/leader-events.js';
export { LeaderService } from './leader/leader.service.js';
export type { LeadershipState, Member, Role, Term } from './leader/leadership.js';
export type { ElectionOptions } from './leader/election-options.js';
export {
  getJobServiceToken,
  getLeaderElectionsToken,
  getLeaderToken,
  getLockServiceToken,
  InjectJobService,
  InjectLeader,
  InjectLeaderElections,
  InjectLockService,
} from './decorators/injection.js';
export { LeaderElection, LeaderElections } from './leader/leader-elections.js';
export { type LockDescription, LockService } from './locks/lock.service.js';
export { DistLockCronLocker } from './nest/cron-locker.js';
export { DistLockModule, type DistLockModuleAsyncOptions } from './nest/module.js';
export type {
  DistLockModuleAsyncExtras,
  DistLockModuleExtras,
  DistLockModuleOptions,
  DistLockOptionsFactory,
} from './nest/options.js';
export type { CronJobLike } from './schedule/cron-schedule.js';
export { JobService, type OncePerTickJobOptions } from './schedule/job.service.js';
