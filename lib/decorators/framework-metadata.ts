/**
 * The metadata that decorators of Nest's packages set on methods and classes. It is read by the name of its key: those
 * packages are optional, and most of them do not export the keys.
 *
 * Not covered: a package that renames a key. `test/integration/nest` runs the decorators of the installed versions.
 */

/** Keys of @nestjs/schedule and @nestjs/event-emitter. */
const BACKGROUND = ['SCHEDULER_TYPE', 'EVENT_LISTENER_METADATA'];
/** Keys of @nestjs/common, @nestjs/microservices, @nestjs/websockets and @nestjs/graphql. */
const GUARDED = ['path', 'microservices:pattern', 'message', 'graphql:resolver_type'];

/** A cron, interval, timeout or event handler: nobody receives its result or its error. */
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

/** The method of a BullMQ `WorkerHost` that processes jobs. `@Processor` may still have to run. */
export function isProcessor(type: object, name: string | symbol): boolean {
  const { prototype } = type as { prototype: object };
  return name === 'process' && (isProcessorClass(type) || 'worker' in prototype);
}

/**
 * Gives back a job that a worker fetched just before it was paused, without counting an attempt.
 *
 * @throws the WaitingError of BullMQ, by which a processor reports that it has moved the job itself
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

/** The methods of a prototype and those that it inherits. Of two with one name the prototype's own. */
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
