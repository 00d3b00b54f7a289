import {
  type DynamicModule,
  type ExistingProvider,
  type FactoryProvider,
  type InjectionToken,
  type Provider,
  Scope,
  type Type,
} from '@nestjs/common';
import { APP_FILTER, DiscoveryService, INQUIRER, ModuleRef } from '@nestjs/core';
import { LockConfigError } from '../core/errors.js';
import {
  DEFAULT_REGISTRATION,
  getFireServiceToken,
  getJobServiceToken,
  getLeaderElectionsToken,
  getLeaderToken,
  getLockServiceToken,
} from '../decorators/injection.js';
import { ErrorFilter } from '../http/error-edges.js';
import { DEFAULT_ELECTION, type ElectionOptions } from '../leader/election-options.js';
import { LeaderElections } from '../leader/leader-elections.js';
import { LeaderService } from '../leader/leader.service.js';
import { LockService } from '../locks/lock.service.js';
import { JobService } from '../schedule/job.service.js';
import { DistLockCronLocker } from './cron-locker.js';
import { CronMethods } from './cron-methods.js';
import { FireService } from './fire.service.js';
import type { DistLockModuleOptions } from './options.js';
import { REGISTRATION, Registration } from './registration.js';
import { RequestHandlers } from './request-handlers.js';
import { resolveOptions } from './resolve-options.js';
import { WorkerGate } from './worker-gate.js';

type ServiceProvider = FactoryProvider | ExistingProvider;

/** The providers of a registration. Nest needs the names of the elections before a factory has made the options. */
export function provideServices(
  name: string,
  elections: readonly string[],
  optionsToken: InjectionToken,
): Required<Pick<DynamicModule, 'providers' | 'exports'>> {
  const services = [
    ...provideService(name, getLockServiceToken(name), LockService, ({ locks }) => locks),
    ...provideService(name, getJobServiceToken(name), JobService, ({ jobs }) => jobs),
    ...provideService(name, getLeaderElectionsToken(name), LeaderElections, ({ leaderElections }) => leaderElections),
    ...elections.flatMap((election) => provideLeader(name, election)),
    ...(elections.includes(DEFAULT_ELECTION) ? [] : refuseDefaultLeader(name, elections)),
    provideFires(name),
    ...(name === DEFAULT_REGISTRATION ? [cronLocker] : []),
  ];
  const provider: Provider = {
    provide: REGISTRATION,
    inject: [optionsToken],
    useFactory: (options: DistLockModuleOptions) => {
      const registration = new Registration(name, resolveOptions(options));
      checkListed(elections, registration.configured);
      return registration;
    },
  };
  const edges: Provider[] = [RequestHandlers, { provide: APP_FILTER, useClass: ErrorFilter }];
  return {
    providers: [provider, cronMethods, ...services, ...edges, WorkerGate],
    exports: services.map(({ provide }) => provide),
  };
}

const cronMethods: FactoryProvider = {
  provide: CronMethods,
  inject: [DiscoveryService],
  useFactory: (discovery: DiscoveryService) => new CronMethods(discovery),
};

const cronLocker: FactoryProvider = {
  provide: DistLockCronLocker,
  inject: [REGISTRATION, CronMethods],
  useFactory: ({ jobs, clock }: Registration, methods: CronMethods) => new DistLockCronLocker(jobs, methods, clock),
};
/**
 * The names of elections, from the options of `forRoot` or the list of `forRootAsync`. The check of the options reports
 * wrong ones later.
 */
export function electionNames(elections: unknown): string[] {
  if (!Array.isArray(elections)) return [DEFAULT_ELECTION];
  const names = elections.map((election: unknown) =>
    typeof election === 'string' ? election : ((election as ElectionOptions | null)?.name ?? DEFAULT_ELECTION),
  );
  return [...new Set(names)];
}

function provideFires(name: string): FactoryProvider {
  const token = getFireServiceToken(name);
  return {
    provide: token,
    inject: [REGISTRATION, CronMethods, DiscoveryService, ModuleRef],
    useFactory: (registration: Registration, methods: CronMethods, discovery: DiscoveryService, moduleRef: ModuleRef) =>
      new FireService(registration, methods, discovery, moduleRef, token),
  };
}

function provideLeader(name: string, election: string): ServiceProvider[] {
  const token = getLeaderToken(election, name);
  const useFactory = ({ elections }: Registration): LeaderService => elections.get(election);
  if (election === DEFAULT_ELECTION) return provideService(name, token, LeaderService, useFactory);
  return [{ provide: token, inject: [REGISTRATION], useFactory }];
}

/**
 * The provider of a service by its token. The registration without a name also provides it by its class, and the token
 * stands for the class. So a test that overrides the class overrides the service of decorated methods, too.
 */
function provideService<Service>(
  name: string,
  token: string,
  type: Type<Service> | (abstract new (...args: never[]) => Service),
  useFactory: (registration: Registration) => Service,
): ServiceProvider[] {
  if (name !== DEFAULT_REGISTRATION) return [{ provide: token, inject: [REGISTRATION], useFactory }];
  return [
    { provide: type, inject: [REGISTRATION], useFactory },
    { provide: token, useExisting: type },
  ];
}

/** Providers that fail when somebody injects them. Nest calls a transient factory only for a class that injects it. */
function refuseDefaultLeader(name: string, elections: readonly string[]): ServiceProvider[] {
  const [other] = elections;
  const repair =
    other === undefined
      ? 'Leave out the empty `elections`.'
      : `Name one of ${elections.join(', ')}, as in @InjectLeader('${other}'), or add { name: 'default' } to \`elections\`.`;
  const useFactory = (user: object | undefined): never => {
    throw new LockConfigError(
      `${user?.constructor?.name ?? 'A provider'} uses the election named "default", which DistLockModule does not have. ${repair}`,
    );
  };
  const tokens = name === DEFAULT_REGISTRATION ? [LeaderService, getLeaderToken()] : [getLeaderToken(undefined, name)];
  return tokens.map((provide) => ({ provide, scope: Scope.TRANSIENT, inject: [INQUIRER], useFactory }));
}

function checkListed(listed: readonly string[], configured: readonly string[]): void {
  const problems = [
    ...configured
      .filter((election) => !listed.includes(election))
      .map((election) => `Election "${election}" is configured but not listed: add it to that list.`),
    ...listed
      .filter((election) => !configured.includes(election))
      .map((election) => `Election "${election}" is listed but not configured: the factory has to return it.`),
  ];
  if (problems.length === 0) return;
  const list = `elections: [${configured.map((election) => `'${election}'`).join(', ')}]`;
  throw new LockConfigError(
    `DistLockModule.forRootAsync(): the option \`elections\` beside the factory lists the names of the elections that ` +
      `the factory configures. ${problems.join(' ')} The factory configures ${list}.`,
  );
}
