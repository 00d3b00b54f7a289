import {
  type BeforeApplicationShutdown,
  ConfigurableModuleBuilder,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModulesContainer } from '@nestjs/core';
import { SystemClock } from '../core/clock.js';
import { LockConfigError } from '../core/errors.js';
import { bindSlots } from '../decorators/wrap-method.js';
import { LeaderService } from '../leader/leader.service.js';
import { DEFAULT_REGISTRATION, leaderToken, lockServiceToken } from './injection.js';
import { LockService } from './lock.service.js';
import { type DistLockModuleOptions, resolveOptions } from './options.js';
import { Registration } from './registration.js';
import { checkDecoratedClasses, checkShutdownHooks } from './start-checks.js';

export interface DistLockModuleExtras {
  /** Makes the services available everywhere, without a further import. Default: true. */
  isGlobal?: boolean;
  /** Tells several registrations apart, each with its own driver and options. Default: the one without a name. */
  name?: string;
}

// Known to this module only: the module class reaches its own registration without knowing its name.
const REGISTRATION = 'DIST_LOCK_REGISTRATION';
/** Applications may enable shutdown hooks after they have started. */
const HOOKS_CHECKED_AFTER = 1000;

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<DistLockModuleOptions>({ moduleName: 'DistLock' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createDistLockOptions')
    .setExtras<DistLockModuleExtras>({ isGlobal: true, name: DEFAULT_REGISTRATION }, (definition, extras) => ({
      ...definition,
      global: extras.isGlobal ?? true,
      ...servicesOf(extras.name ?? DEFAULT_REGISTRATION, definition.providers ?? []),
    }))
    .build();

function servicesOf(name: string, providers: Provider[]): Pick<DynamicModule, 'providers' | 'exports'> {
  const isDefault = name === DEFAULT_REGISTRATION;
  const services: Provider[] = [
    {
      provide: REGISTRATION,
      inject: [MODULE_OPTIONS_TOKEN],
      useFactory: (options: DistLockModuleOptions) => new Registration(name, resolveOptions(options)),
    },
    { provide: lockServiceToken(name), inject: [REGISTRATION], useFactory: ({ locks }: Registration) => locks },
    { provide: leaderToken(name), inject: [REGISTRATION], useFactory: ({ leader }: Registration) => leader },
  ];
  if (isDefault) {
    services.push(
      { provide: LockService, useExisting: lockServiceToken(name) },
      { provide: LeaderService, useExisting: leaderToken(name) },
    );
  }
  return {
    providers: [...providers, ...services],
    exports: [lockServiceToken(name), leaderToken(name), ...(isDefault ? [LockService, LeaderService] : [])],
  };
}

/** Distributed locks and leader election for a Nest application. */
@Module({ imports: [DiscoveryModule] })
export class DistLockModule
  extends ConfigurableModuleClass
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  // By the constructor: Nest runs the shutdown hooks of a module that was compiled but never initialised.
  constructor(
    @Inject(REGISTRATION) private readonly registration: Registration,
    private readonly discovery: DiscoveryService,
    private readonly modules: ModulesContainer,
  ) {
    super();
  }

  /** @throws LockConfigError at the start of the application when an option is wrong */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    return super.forRoot(options);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }

  async onModuleInit(): Promise<void> {
    this.refuseSecondRegistration();
    checkDecoratedClasses(this.discovery, this.registration.logger);
    this.bindForeignInstances();
    await this.registration.connect();
  }

  onApplicationBootstrap(): void {
    this.registration.startElection();
    if (process.env['NODE_ENV'] === 'test') return;
    new SystemClock().after(HOOKS_CHECKED_AFTER, () => checkShutdownHooks(this.registration.logger));
  }

  onModuleDestroy(): void {
    this.registration.beginShutdown();
  }

  /** Before the HTTP server closes, so that a slow client does not delay the hand-over. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.registration.handOver();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.registration.close();
  }

  private refuseSecondRegistration(): void {
    const { name } = this.registration;
    const twins = [...this.modules.values()].filter(
      ({ metatype, instance }) =>
        metatype === DistLockModule && instance instanceof DistLockModule && instance.registration.name === name,
    );
    if (twins.length < 2) return;
    throw new LockConfigError(
      `DistLockModule.forRoot() is imported ${twins.length} times ${name === DEFAULT_REGISTRATION ? 'without a name' : `with the name "${name}"`}. ` +
        'Import it once, or give each registration its own `name`.',
    );
  }

  /** Property injection does not reach what a `useValue` or `useFactory` provider made. */
  private bindForeignInstances(): void {
    const { name, locks, leader } = this.registration;
    const services = new Map<string, unknown>([
      [lockServiceToken(name), locks],
      [leaderToken(name), leader],
    ]);
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      const instance: unknown = wrapper.isDependencyTreeStatic() ? wrapper.instance : undefined;
      if (typeof instance === 'object' && instance !== null) bindSlots(instance, (token) => services.get(token));
    }
  }
}
