/**
 * What the decorators of Nest's packages leave on methods and classes. Read by name, because those packages are
 * optional and export most of these names only from their insides.
 */
const BACKGROUND = ['SCHEDULER_TYPE', 'EVENT_LISTENER_METADATA'];
const GUARDED = ['path', 'microservices:pattern', 'message', 'graphql:resolver_type'];

/** A cron, interval, timeout or event handler: nobody receives what it returns or throws. */
export function isBackgroundHandler(method: object): boolean {
  return BACKGROUND.some((key) => Reflect.hasMetadata(key, method));
}

export function isScheduled(method: object): boolean {
  return Reflect.hasMetadata('SCHEDULER_TYPE', method);
}

export function isCron(method: object): boolean {
  return Reflect.hasMetadata('SCHEDULE_CRON_OPTIONS', method);
}

export function isTimeout(method: object): boolean {
  return Reflect.hasMetadata('SCHEDULE_TIMEOUT_OPTIONS', method);
}

/** The handler of an HTTP request. */
export function isRoute(method: object): boolean {
  return Reflect.hasMetadata('path', method);
}

/** The method of a BullMQ `WorkerHost` that processes jobs. `@Processor` may not have run yet. */
export function isProcessor(type: object, name: string | symbol): boolean {
  const { prototype } = type as { prototype: object };
  return name === 'process' && (isProcessorClass(type) || 'worker' in prototype);
}

/**
 * Gives a job back that a worker fetched just before it was paused, without counting an attempt.
 *
 * @throws what tells BullMQ that the job is not in its hands any more
 */
export async function giveJobBack([job, token]: readonly unknown[]): Promise<never> {
  await (job as { moveToWait(token: unknown): Promise<unknown> }).moveToWait(token);
  throw Object.assign(new Error('This instance does not lead: the job waits for the leader.'), {
    name: 'WaitingError',
  });
}

export function isProcessorClass(type: object): boolean {
  return Reflect.hasMetadata('bullmq:processor_metadata', type);
}

/** A route, message, gateway or resolver handler: Nest runs guards before it. */
export function isGuardedHandler(method: object): boolean {
  return GUARDED.some((key) => Reflect.hasMetadata(key, method));
}

/** The methods of a prototype and those that it inherits, each once. */
export function methodsOf(prototype: object): Map<string, (...args: unknown[]) => unknown> {
  const methods = new Map<string, (...args: unknown[]) => unknown>();
  for (let level = prototype; level && level !== Object.prototype; level = Object.getPrototypeOf(level) as object) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      if (name === 'constructor' || methods.has(name) || typeof value !== 'function') continue;
      methods.set(name, value as (...args: unknown[]) => unknown);
    }
  }
  return methods;
}
