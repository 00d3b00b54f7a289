/**
 * Replaces a method by a wrapper that finds a service of the application which created the instance.
 *
 * Nest's property injection brings the service: each prototype gets one hidden symbol property for each service. So a
 * wrapper works
 *
 * 1. in every scope, for inherited classes, and for several applications in one process, without global state;
 * 2. only where the module is imported: without it Nest cannot resolve the property, and the application does not
 *    start;
 * 3. in any order of decorators. Nest keeps metadata on the function, so a new function loses it (nestjs/nest#1180).
 *    The wrapper therefore takes over name, length and metadata.
 *
 * Not covered: an object that Nest did not inject. Its calls reject with a LockNotBoundError, unless `bindSlots` was
 * called.
 */
import { Inject } from '@nestjs/common';
import { LockConfigError, LockNotBoundError } from '../core/errors.js';
import { promiseTry } from '../core/promise-try.js';

/** The methods that the decorators accept. */
export type AsyncMethod = (...args: never[]) => Promise<unknown>;

/** `unknown`, or a type that no method has, where the decorator may skip a call whose result cannot be undefined. */
export type SkipFits<Choice, Method extends AsyncMethod> = 'skip' extends Choice
  ? undefined extends Awaited<ReturnType<Method>>
    ? unknown
    : { "'skip' returns undefined, which the method's result does not allow": never }
  : unknown;

export type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

/** The record of one wrapping, kept on the wrapper. The checks at start and other decorators read it. */
export interface Wrapping {
  readonly decorator: string;
  readonly original: AnyFunction;
  readonly options: object;
  /** A method must not have two wrappings of one decorator with the same identity. */
  readonly identity: unknown;
}

export interface WrappedCall<Service> {
  readonly service: Service;
  readonly instance: unknown;
  readonly args: unknown[];
  /** Calls the original method. */
  proceed(args?: unknown[]): unknown;
}

const WRAPPING = Symbol.for('nestjs-dist-lock/wrapping');
const SLOTS = Symbol.for('nestjs-dist-lock/slots');

type Slots = ReadonlyMap<string, symbol>;

export function wrapMethod<Service>(
  decorator: string,
  token: string,
  options: object,
  decorated: [object, string | symbol, PropertyDescriptor | undefined],
  run: (call: WrappedCall<Service>) => unknown,
  identity: unknown = decorator,
): void {
  const { target, label, descriptor, original } = decoratedMethod(decorator, decorated);
  if (wrappingsOf(original).some((other) => other.decorator === decorator && other.identity === identity)) {
    throw new LockConfigError(`@${decorator} on ${label}: it is applied twice, which does not work. Remove one.`);
  }
  const slot = ensureSlot(target, token);

  // Every failure is a rejection, never an exception.
  const wrapper = function (this: unknown, ...args: unknown[]): Promise<unknown> {
    return promiseTry(() => {
      const service = (this as Record<symbol, Service | undefined> | undefined)?.[slot];
      if (service === undefined) throw notBound(decorator, label, token, this);
      return run({
        service,
        instance: this,
        args,
        proceed: (changed = args) => Reflect.apply(original, this, changed),
      });
    });
  };
  Object.defineProperty(wrapper, 'name', { value: original.name, configurable: true });
  Object.defineProperty(wrapper, 'length', { value: original.length, configurable: true });
  Object.defineProperty(wrapper, WRAPPING, { value: { decorator, original, options, identity } });
  for (const key of Reflect.getOwnMetadataKeys(original)) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, original), wrapper);
  }
  descriptor.value = wrapper;
}

interface DecoratedMethod {
  readonly target: object;
  /** For messages: class and method. */
  readonly label: string;
  readonly descriptor: PropertyDescriptor;
  readonly original: AnyFunction;
}

/** @throws LockConfigError for a class, a property, an accessor, a static method or a parameter */
export function decoratedMethod(
  decorator: string,
  [target, property, descriptor]: readonly [unknown, string | symbol | undefined, PropertyDescriptor | undefined],
): DecoratedMethod {
  if (typeof (property as unknown) === 'object' && property !== null) {
    throw new LockConfigError(
      `@${decorator}: the compiler emits standard decorators, which Nest does not use either. Set ` +
        '"experimentalDecorators": true in tsconfig.json.',
    );
  }
  const label = labelOf(target, property);
  const original: unknown = descriptor?.value;
  if (typeof target !== 'object' || target === null || !descriptor || typeof original !== 'function') {
    throw new LockConfigError(`@${decorator} on ${label}: only instance methods can be decorated.`);
  }
  return { target, label, descriptor, original: original as AnyFunction };
}

function labelOf(target: unknown, property: string | symbol | undefined): string {
  const { name } = (typeof target === 'function' ? target : (target as object | null)?.constructor) ?? { name: '' };
  return property === undefined ? `class ${name}` : `${name}.${String(property)}`;
}

/** The wrappings of a method, the outermost first. */
export function wrappingsOf(method: unknown): Wrapping[] {
  const wrapping = (method as { [WRAPPING]?: Wrapping } | undefined)?.[WRAPPING];
  return wrapping ? [wrapping, ...wrappingsOf(wrapping.original)] : [];
}

/** Gives an instance that Nest did not create the services that its decorated methods use. */
export function bindSlots(instance: object, serviceFor: (token: string) => unknown): void {
  const bound = instance as Record<symbol, unknown>;
  // The prototype is asked: an instance may be a proxy that answers to every property, or throws.
  for (const [token, slot] of slotsOf(Object.getPrototypeOf(instance) as object | null)) {
    const service = serviceFor(token);
    if (service !== undefined && bound[slot] === undefined) bound[slot] = service;
  }
}

/**
 * The hidden property that Nest fills with the provider of `token`. Nest assigns it. The accessor on the prototype
 * turns the assignment into a property that is not enumerable, so JSON, spread and comparisons do not see the property.
 */
export function ensureSlot(prototype: object, token: string): symbol {
  const inherited = slotsOf(prototype);
  const existing = inherited.get(token);
  if (existing) return existing;
  // Nest shows the description of the symbol when it cannot resolve the provider.
  const repair = token.includes('/')
    ? 'name this election in the `elections` of DistLockModule.forRoot()'
    : 'import DistLockModule.forRoot() to use @WithLock() and @LeaderOnly()';
  const slot = Symbol(`${token}: ${repair}`);
  Object.defineProperty(prototype, SLOTS, { value: new Map([...inherited, [token, slot]]), configurable: true });
  Object.defineProperty(prototype, slot, {
    configurable: true,
    get: () => undefined,
    set(this: object, value: unknown) {
      if (Reflect.defineProperty(this, slot, { value, writable: true, configurable: true })) return;
      throw new LockConfigError(
        `The ${token} cannot be given to this ${this.constructor.name}, whose methods use it: do not freeze or seal it.`,
      );
    },
  });
  Inject(token)(prototype, slot);
  return slot;
}

function slotsOf(prototype: { readonly [SLOTS]?: Slots } | null): Slots {
  return prototype?.[SLOTS] ?? new Map<string, symbol>();
}

function notBound(decorator: string, label: string, token: string, instance: unknown): LockNotBoundError {
  const why =
    instance === undefined || instance === null
      ? 'it was called without "this", as a detached function. Call it on its object, or bind it.'
      : `this object has no ${token}, because Nest did not create it. ` +
        'Let Nest create it, or give it the service with bindDistLock() in a unit test.';
  return new LockNotBoundError(`@${decorator} on ${label}: ${why}`);
}
