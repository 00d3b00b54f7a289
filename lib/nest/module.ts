import {
  type BeforeApplicationShutdown,
  ConfigurableModuleBuilder,
  type DynamicModule,
  type ExistingProvider,
  type FactoryProvider,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  type Provider,
  type Type,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef, ModulesContainer } from '@nestjs/core';
import { SystemClock, type Timer } from '../core/clock.js';
import { LockConfigError } from '../core/errors.js';
import { OptionsCheck } from '../core/options-check.js';
import { bindSlots } from '../decorators/wrap-method.js';
import { LeaderService } from '../leader/leader.service.js';
import { FireService } from './fire.service.js';
import { DEFAULT_REGISTRATION, fireToken, leaderToken, lockServiceToken } from './injection.js';
import { LockService } from './lock.service.js';
import { type DistLockModuleOptions, resolveOptions } from './options.js';
import { Registration } from './registration.js';
import { checkDecoratedClasses, checkShutdownHooks } from './start-checks.js';
import { WorkerGate } from './worker-gate.js';

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
    .setExtras<DistLockModuleExtras>({ isGlobal: true, name: DEFAULT_REGISTRATION }, (definition, extras) => {
      checkExtras(extras);
      return {
        ...definition,
        global: extras.isGlobal ?? true,
        ...servicesOf(extras.name ?? DEFAULT_REGISTRATION, definition.providers ?? []),
      };
    })
    .build();

function servicesOf(name: string, providers: Provider[]): Pick<DynamicModule, 'providers' | 'exports'> {
  const services = [
    ...provideService(name, lockServiceToken(name), LockService, ({ locks }) => locks),
    ...provideService(name, leaderToken(name), LeaderService, ({ leader }) => leader),
  ];
  const registration: Provider = {
    provide: REGISTRATION,
    inject: [MODULE_OPTIONS_TOKEN],
    useFactory: (options: DistLockModuleOptions) => new Registration(name, resolveOptions(options)),
  };
  const fires: FactoryProvider = {
    provide: fireToken(name),
    inject: [REGISTRATION, DiscoveryService, ModuleRef],
    useFactory: (...[of, discovery, moduleRef]: [Registration, DiscoveryService, ModuleRef]) =>
      new FireService(of, discovery, moduleRef, fireToken(name)),
  };
  return {
    providers: [...providers, registration, ...services, fires, WorkerGate],
    exports: [...services.map(({ provide }) => provide), fires.provide],
  };
}

/** By its class, too, without a name: whoever overrides the class in a test overrides what decorated methods use. */
function provideService<Service>(
  name: string,
  token: string,
  type: Type<Service>,
  useFactory: (registration: Registration) => Service,
): (FactoryProvider | ExistingProvider)[] {
  if (name !== DEFAULT_REGISTRATION) return [{ provide: token, inject: [REGISTRATION], useFactory }];
  return [
    { provide: type, inject: [REGISTRATION], useFactory },
    { provide: token, useExisting: type },
  ];
}

function checkExtras({ isGlobal, name }: DistLockModuleExtras): void {
  const check = new OptionsCheck('DistLockModule.forRoot()');
  check.ofType(isGlobal, 'isGlobal', 'boolean');
  check.ofType(name, 'name', 'string');
  if (name === '') check.problem('name: must not be empty.');
  check.done();
}

/** Distributed locks and leader election for a Nest application. */
@Module({ imports: [DiscoveryModule] })
export class DistLockModule
  extends ConfigurableModuleClass
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  private hooksCheck: Timer | undefined;

  // By the constructor: Nest runs the shutdown hooks of a module that was compiled but never initialised.
  constructor(
    @Inject(REGISTRATION) private readonly registration: Registration,
    private readonly discovery: DiscoveryService,
    private readonly modules: ModulesContainer,
    private readonly moduleRef: ModuleRef,
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
    checkDecoratedClasses(this.discovery, this.registration);
    this.bindForeignInstances();
    await this.registration.connect();
  }

  onApplicationBootstrap(): void {
    this.registration.startElection();
    if (process.env['NODE_ENV'] === 'test') return;
    const check = (): void => checkShutdownHooks(this.registration.logger);
    this.hooksCheck = new SystemClock().after(HOOKS_CHECKED_AFTER, check);
  }

  onModuleDestroy(): void {
    this.hooksCheck?.cancel();
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
    const tokens = [lockServiceToken, leaderToken, fireToken].map((tokenOf) => tokenOf(this.registration.name));
    const services = new Map(tokens.map((token) => [token, this.moduleRef.get<unknown>(token)]));
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      const instance: unknown = wrapper.isDependencyTreeStatic() ? wrapper.instance : undefined;
      if (typeof instance === 'object' && instance !== null) bindSlots(instance, (token) => services.get(token));
    }
  }
}
