import type { DiscoveryService } from '@nestjs/core';
import type { CronJobs } from '../schedule/cron-schedule.js';

type InstanceWrapper = ReturnType<DiscoveryService['getProviders']>[number];

/**
 * The providers and the controllers of the application: providers first, each group in the order in which Nest keeps its
 * modules. The only walk over them: every decorator that needs a start, a check or a service is found here.
 */
export function discovered(discovery: DiscoveryService): Discovered[] {
  return [...discoveredProviders(discovery), ...discovery.getControllers().map((wrapper) => new Discovered(wrapper))];
}

export function discoveredProviders(discovery: DiscoveryService): Discovered[] {
  return discovery.getProviders().map((wrapper) => new Discovered(wrapper));
}

/** The `SchedulerRegistry` of each `ScheduleModule`. @nestjs/schedule is optional: its methods identify the class. */
export function schedulersIn(found: readonly Discovered[]): CronJobs[] {
  const registries = found.flatMap(({ type, instance }) => {
    const prototype: Partial<CronJobs> | undefined = type?.prototype;
    const isRegistry =
      typeof prototype?.getCronJobs === 'function' && typeof prototype.addCronJob === 'function' && instance;
    return isRegistry ? [instance as CronJobs] : [];
  });
  return [...new Set(registries)];
}

/** One provider or controller. Nest fills in the instance while the application starts, so every read asks Nest. */
export class Discovered {
  readonly #wrapper: InstanceWrapper;

  constructor(wrapper: InstanceWrapper) {
    this.#wrapper = wrapper;
  }

  /**
   * The class, or the factory where that is a `function`. Undefined for a value, and for an arrow function as factory:
   * such an instance is foreign, Nest injects no properties into it.
   */
  get type(): (object & { readonly name: string; readonly prototype: object }) | undefined {
    const { metatype } = this.#wrapper;
    return typeof metatype === 'function' && typeof metatype.prototype === 'object'
      ? (metatype as typeof metatype & { readonly prototype: object })
      : undefined;
  }

  /**
   * The instance. Several providers may be the same one by other names (`useExisting`). For a class of the request or
   * transient scope Nest keeps an object of its prototype here, which was never constructed.
   */
  get instance(): object | undefined {
    const { instance } = this.#wrapper as { readonly instance: unknown };
    return typeof instance === 'object' && instance !== null ? instance : undefined;
  }

  /** The name of the module that has it. */
  get module(): string {
    return this.#wrapper.host?.name ?? '?';
  }

  /** Neither the class nor anything that it injects is request-scoped. */
  get isStatic(): boolean {
    return this.#wrapper.isDependencyTreeStatic();
  }

  /** Static, and every class that injects it gets the same instance. */
  get isShared(): boolean {
    return this.isStatic && !this.#wrapper.isTransient;
  }
}
