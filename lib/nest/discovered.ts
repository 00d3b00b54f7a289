import type { DiscoveryService } from '@nestjs/core';
import type { CronJobs } from '../schedule/cron-schedule.js';

type InstanceWrapper = ReturnType<DiscoveryService['getProviders']>[number];

/**
 * The providers and the controllers of the application. Providers come first; each group has the order of Nest's
 * modules. There is no other walk over them: every decorator that needs a start, a check or a service is found here.
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

/** One provider or controller. Nest sets the instance while the application starts, so every read asks Nest. */
export class Discovered {
  readonly #wrapper: InstanceWrapper;

  constructor(wrapper: InstanceWrapper) {
    this.#wrapper = wrapper;
  }

  /**
   * The class, or the factory where that is a `function`. Undefined for a value, and for a factory that is an arrow
   * function: Nest injects no properties into their instances (nestjs/nest#13411).
   */
  get type(): (object & { readonly name: string; readonly prototype: object }) | undefined {
    const { metatype } = this.#wrapper;
    return typeof metatype === 'function' && typeof metatype.prototype === 'object'
      ? (metatype as typeof metatype & { readonly prototype: object })
      : undefined;
  }

  /**
   * The instance. Several providers may be one instance by other names (`useExisting`). For a class of the request or
   * transient scope Nest keeps an object with the prototype of the class, which was never constructed
   * (nestjs/nest#17007).
   */
  get instance(): object | undefined {
    const { instance } = this.#wrapper as { readonly instance: unknown };
    return typeof instance === 'object' && instance !== null ? instance : undefined;
  }

  /** The name of the module that has it. */
  get module(): string {
    return this.#wrapper.host?.name ?? '?';
  }

  /** True where neither the class nor one of its dependencies is request-scoped. */
  get isStatic(): boolean {
    return this.#wrapper.isDependencyTreeStatic();
  }

  /** True where all classes that inject it get the same instance. */
  get isShared(): boolean {
    return this.isStatic && !this.#wrapper.isTransient;
  }
}
