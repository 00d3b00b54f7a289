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
import { DiscoveryModule, DiscoveryService, ModuleRef, ModulesContainer } from '@nestjs/core';
import { LockConfigError } from '../core/errors.js';
import { OptionsCheck } from '../core/options-check.js';
import {
  DEFAULT_REGISTRATION,
  getFireServiceToken,
  getLeaderToken,
  getLockServiceToken,
} from '../decorators/injection.js';
import { bindSlots } from '../decorators/wrap-method.js';
import { registerLeaderCallbacks } from './callback-finder.js';
import { discovered, type Discovered } from './discovered.js';
import type { DistLockModuleAsyncExtras, DistLockModuleExtras, DistLockModuleOptions } from './options.js';
import { electionNames, provideServices } from './providers.js';
import { REGISTRATION, type Registration } from './registration.js';
import { ShutdownHooks } from './shutdown-hooks.js';
import { checkDecoratedClasses } from './start-checks.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<DistLockModuleOptions>({ moduleName: 'DistLock' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createDistLockOptions')
    .setExtras<DistLockModuleExtras>({ isGlobal: true, name: DEFAULT_REGISTRATION }, (definition, extras) => {
      checkExtras(extras);
      const name = extras.name ?? DEFAULT_REGISTRATION;
      const { elections } = extras as { elections?: unknown };
      const services = provideServices(name, electionNames(elections), MODULE_OPTIONS_TOKEN);
      const providers = [...(definition.providers ?? []), ...services.providers];
      return { ...definition, global: extras.isGlobal ?? true, providers, exports: services.exports };
    })
    .build();

function refuseOther(options: unknown, method: string, expected: string): void {
  if (typeof options === 'object' && options !== null && !Array.isArray(options)) return;
  throw new LockConfigError(`DistLockModule.${method}(): expected ${expected}.`);
}

function checkExtras({ isGlobal, name }: DistLockModuleExtras): void {
  const check = new OptionsCheck('DistLockModule.forRoot()');
  check.ofType(isGlobal, 'isGlobal', 'boolean');
  check.ofType(name, 'name', 'string');
  if (name === '') check.problem('name: must not be empty.');
  check.done();
}

/** The registration of a module that is imported without `forRoot`. The provider of `forRoot` replaces this one. */
const refuseBareImport: Provider = {
  provide: REGISTRATION,
  useFactory: (): never => {
    throw new LockConfigError(
      'DistLockModule is imported without options. Import DistLockModule.forRoot({ driver, namespace }) once, in the root ' +
        'module; other modules need no import, since it is global.',
    );
  },
};

/**
 * The argument of `forRootAsync()`: `useFactory` with `inject` and `imports`, `useClass` or `useExisting`; the extras.
 */
export type DistLockModuleAsyncOptions = typeof ASYNC_OPTIONS_TYPE & DistLockModuleAsyncExtras;

/**
 * Distributed locks and leader election for a Nest application. Import `DistLockModule.forRoot()` or `forRootAsync()`
 * once, in the root module.
 *
 * At start, in the order of Nest's hooks:
 * 1. Decorated classes are checked, and the driver connects.
 * 2. The elections begin, once all modules are initialised.
 *
 * At shutdown:
 * 3. Leader-only code is no longer started, and the signals of terms abort.
 * 4. Leadership is handed over, before Nest closes the HTTP server (nestjs/nest#2567): a slow client delays no
 *    hand-over.
 * 5. Locks are released once the requests are answered. Then the driver closes.
 */
@Module({ imports: [DiscoveryModule], providers: [refuseBareImport] })
export class DistLockModule
  extends ConfigurableModuleClass
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  /** Undefined in a test, and in a process that ends by itself. */
  private readonly hooks: ShutdownHooks | undefined;

  // The constructor sets all fields: Nest runs the shutdown hooks of a module that was compiled and never initialised.
  /** @internal */
  constructor(
    @Inject(REGISTRATION) private readonly registration: Registration,
    private readonly discovery: DiscoveryService,
    private readonly modules: ModulesContainer,
    private readonly moduleRef: ModuleRef,
  ) {
    super();
    const { logger, clock, observesOnly } = registration;
    if (process.env['NODE_ENV'] !== 'test' && !observesOnly) this.hooks = new ShutdownHooks(logger, clock);
  }

  /**
   * The module with its options.
   *
   * @throws LockConfigError at once when the argument is no object; at the start of the application when an option is
   *   wrong
   */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    refuseOther(options, 'forRoot', 'an object with options, such as { driver: new RedisDriver({ url }) }');
    return super.forRoot(options);
  }

  /**
   * The module with options that a factory or a class makes, such as one that injects the configuration.
   *
   * @throws LockConfigError at once when the argument is wrong; at the start of the application when an option is
   *   wrong, or when the factory configures other elections than `elections` lists
   */
  static override forRootAsync(options: DistLockModuleAsyncOptions): DynamicModule {
    const ways = ['useFactory', 'useClass', 'useExisting'] as const;
    refuseOther(options, 'forRootAsync', 'an object with useFactory, useClass or useExisting');
    const check = new OptionsCheck('DistLockModule.forRootAsync()');
    if (!ways.some((way) => typeof options[way] === 'function' || (way === 'useExisting' && options[way]))) {
      check.problem(
        'expected `useFactory`, `useClass` or `useExisting`, as in { useFactory: () => ({ driver }) }. Options themselves ' +
          'go to forRoot().',
      );
    }
    check.names(options.elections, 'elections');
    check.done();
    return super.forRootAsync(options);
  }

  /** @internal */
  async onModuleInit(): Promise<void> {
    this.refuseSecondRegistration();
    const found = discovered(this.discovery);
    checkDecoratedClasses(found, this.registration);
    this.bindForeignInstances(found);
    registerLeaderCallbacks(found, this.registration);
    await this.registration.connect();
  }

  /** @internal */
  onApplicationBootstrap(): void {
    this.registration.startElections();
    this.hooks?.started();
  }

  /** @internal */
  onModuleDestroy(): void {
    this.hooks?.end();
    this.registration.beginShutdown();
  }

  /** @internal */
  async beforeApplicationShutdown(): Promise<void> {
    await this.registration.handOver();
  }

  /** @internal */
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

  /** Nest injects no properties into the instances of `useValue` and `useFactory` providers (nestjs/nest#13411). */
  private bindForeignInstances(found: readonly Discovered[]): void {
    const { name, configured } = this.registration;
    const tokens = [
      getLockServiceToken(name),
      getFireServiceToken(name),
      ...configured.map((election) => getLeaderToken(election, name)),
    ];
    const services = new Map(tokens.map((token) => [token, this.moduleRef.get<unknown>(token)]));
    for (const { instance, isStatic } of found) {
      if (instance && isStatic) bindSlots(instance, (token) => services.get(token));
    }
  }
}
