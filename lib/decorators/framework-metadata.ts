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
