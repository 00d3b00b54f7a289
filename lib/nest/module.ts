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
import { DEFAULT_ELECTION, type ElectionOptions } from '../leader/election-options.js';
import { registerLeaderCallbacks } from './callback-finder.js';
import { discovered, type Discovered } from './discovered.js';
import type { DistLockModuleOptions } from './options.js';
import { provideServices } from './providers.js';
import { REGISTRATION, type Registration } from './registration.js';
import { ShutdownHooks } from './shutdown-hooks.js';
import { checkDecoratedClasses } from './start-checks.js';

export interface DistLockModuleExtras {
  /** Makes the services available everywhere, without a further import. Default: true. */
  isGlobal?: boolean;
  /** Tells several registrations apart, each with its own driver and options. Default: the one without a name. */
  name?: string;
}

/** What a class that is given as `useClass` or `useExisting` implements. */
export interface DistLockOptionsFactory {
  createDistLockOptions(): DistLockModuleOptions | Promise<DistLockModuleOptions>;
}

export interface DistLockModuleAsyncExtras {
  /**
   * The names of the elections that the factory configures, `default` among them if there is one: injection needs them
   * before the factory has run. Default: `['default']`.
   */
  elections?: string[];
}

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<DistLockModuleOptions>({ moduleName: 'DistLock' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createDistLockOptions')
    .setExtras<DistLockModuleExtras>({ isGlobal: true, name: DEFAULT_REGISTRATION }, (definition, extras) => {
      checkExtras(extras);
      const name = extras.name ?? DEFAULT_REGISTRATION;
      const services = provideServices(name, electionNames(extras as { elections?: unknown }), MODULE_OPTIONS_TOKEN);
      const providers = [...(definition.providers ?? []), ...services.providers];
      return { ...definition, global: extras.isGlobal ?? true, providers, exports: services.exports };
    })
    .build();

/** Of what `forRoot` configures or `forRootAsync` lists. What is wrong with them is told when the options are checked. */
function electionNames({ elections }: { elections?: unknown }): string[] {
  if (!Array.isArray(elections)) return [DEFAULT_ELECTION];
  const names = elections.map((election: unknown) =>
    typeof election === 'string' ? election : ((election as ElectionOptions | null)?.name ?? DEFAULT_ELECTION),
  );
  return [...new Set(names)];
}

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

/** What the class injects when somebody imports it without `forRoot`, whose provider would take its place. */
const refuseBareImport: Provider = {
  provide: REGISTRATION,
  useFactory: (): never => {
    throw new LockConfigError(
      'DistLockModule is imported without options. Import DistLockModule.forRoot({ driver, namespace }) once, in the root ' +
        'module; other modules need no import, since it is global.',
    );
  },
};

/** What `forRootAsync` takes: `useFactory` with `inject` and `imports`, `useClass` or `useExisting`, and the extras. */
export type DistLockModuleAsyncOptions = typeof ASYNC_OPTIONS_TYPE & DistLockModuleAsyncExtras;

/** Distributed locks and leader election for a Nest application. */
@Module({ imports: [DiscoveryModule], providers: [refuseBareImport] })
export class DistLockModule
  extends ConfigurableModuleClass
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  /** Undefined in a test, and in a process that ends by itself. */
  private readonly hooks: ShutdownHooks | undefined;

  // By the constructor: Nest runs the shutdown hooks of a module that was compiled but never initialised.
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

  /** @throws LockConfigError at the start of the application when an option is wrong */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    refuseOther(options, 'forRoot', 'an object with options, such as { driver: new RedisDriver({ url }) }');
    return super.forRoot(options);
  }

  /** @throws LockConfigError at the start, too, when the elections are not those that `elections` lists */
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

  async onModuleInit(): Promise<void> {
    this.refuseSecondRegistration();
    const found = discovered(this.discovery);
    checkDecoratedClasses(found, this.registration);
    this.bindForeignInstances(found);
    registerLeaderCallbacks(found, this.registration);
    await this.registration.connect();
  }

  onApplicationBootstrap(): void {
    this.registration.startElections();
    this.hooks?.started();
  }

  onModuleDestroy(): void {
    this.hooks?.end();
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
