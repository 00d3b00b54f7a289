import { LockKeyError } from '../core/errors.js';
import { checkKey, LONGEST_KEY } from '../core/store-key.js';

/** Builds a key from the arguments of the method. `this` is the instance. */
export type KeyFunction = (...args: never[]) => string;

export type KeyBuilder = (args: readonly unknown[], instance: unknown) => string;

interface Placeholder {
  readonly source: string;
  readonly root: 'this' | number;
  readonly path: readonly string[];
}

const PLACEHOLDER = /^\{(this|\d+)((?:\.[\w$]+)*)\}$/;

/**
 * Builds keys such as `order:42` from a template such as `'order:{0.id}'`. `{n}` is the argument n, counted from 0;
 * `{this.x}` is a property of the instance; `{{` and `}}` are braces. The template is parsed once.
 *
 * @throws LockKeyError when the template is malformed
 */
export function compileTemplate(template: string): KeyBuilder {
  if (template === '') throw new LockKeyError('A lock key template must not be empty.');
  const parts = template.split(/(\{\{|\}\}|\{[^{}]*\})/).map((part): string | Placeholder => {
    if (part === '{{' || part === '}}') return part[0]!;
    if (!/[{}]/.test(part)) return part;
    const match = PLACEHOLDER.exec(part);
    if (!match) {
      throw new LockKeyError(
        `Lock key template "${template}": "${part}" is not a placeholder. Use {0}, {0.id} or {this.name}; {{ and }} are braces.`,
      );
    }
    const root = match[1] === 'this' ? 'this' : Number(match[1]);
    return { source: part, root, path: match[2]!.split('.').slice(1) };
  });
  const statusCode = parts.some((part) => typeof part !== 'string' && part.root !== 'this') ? 400 : 500;
  return (args, instance) => {
    let key = '';
    for (const part of parts) key += typeof part === 'string' ? part : valueOf(part, args, instance, template);
    return checkKey(key, statusCode);
  };
}

/** @throws LockKeyError when the function does not return a string that is not empty */
export function keyFrom(build: KeyFunction, label: string): KeyBuilder {
  return (args, instance) => {
    const key: unknown = Reflect.apply(build, instance, args);
    const isOfArguments = args.length > 0;
    if (typeof key === 'string' && key !== '') return checkKey(key, isOfArguments ? 400 : 500);
    throw new LockKeyError(
      `@WithLock on ${label}: the key function returned ${show(key)}. Return a string, not empty.`,
      isOfArguments ? blame(key) : 500,
    );
  };
}

/**
 * A template tag that encodes values as the templates of `@WithLock` do: ``lockKey`order:${id}` ``. No value can leave
 * its place in the key: `%`, `:`, braces and white space are encoded as in a URL.
 *
 * @throws LockKeyError when a value is not a string, number, bigint or boolean, or is NaN, empty or not well-formed
 *   Unicode
 */
export function lockKey(strings: TemplateStringsArray, ...values: readonly unknown[]): string {
  const encoded = values.map(
    (value, index) => encode(value) ?? refuse(`lockKey: value ${index + 1} is ${show(value)}`, blame(value)),
  );
  return checkKey(String.raw({ raw: strings }, ...encoded), values.length > 0 ? 400 : 500);
}

function valueOf(
  { root, path, source }: Placeholder,
  args: readonly unknown[],
  instance: unknown,
  template: string,
): string {
  let value: unknown = root === 'this' ? instance : args[root];
  for (const name of path) value = (value as Record<string, unknown> | null | undefined)?.[name];
  const encoded = encode(value);
  if (encoded !== undefined) return encoded;
  const missing = typeof root === 'number' && root >= args.length;
  const why = missing ? `names an argument that the call did not pass (it passed ${args.length})` : `is ${show(value)}`;
  return refuse(`Lock key template "${template}": ${source} ${why}`, missing || root === 'this' ? 500 : blame(value));
}

/** The value without separators, braces and white space; undefined for a value that cannot be part of a key. */
function encode(value: unknown): string | undefined {
  if (typeof value === 'string') {
    // A key with this value is too long. It is refused later, so it need not be encoded.
    if (value.length > LONGEST_KEY) return value;
    return value !== '' && value.isWellFormed() ? value.replace(/[%:{}\s]/gu, encodeURIComponent) : undefined;
  }
  const fits =
    typeof value === 'bigint' || typeof value === 'boolean' || (typeof value === 'number' && !Number.isNaN(value));
  return fits ? String(value) : undefined;
}

function refuse(problem: string, statusCode: 400 | 500): never {
  throw new LockKeyError(`${problem}. Use a string that is not empty, a number, a bigint or a boolean.`, statusCode);
}

/**
 * The status for a value that cannot be, or be part of, a key. 400: a request may hold it, as a field that is missing,
 * empty, given twice or nested. 500: only code makes it, such as a date, a promise or an entity.
 */
function blame(value: unknown): 400 | 500 {
  if (typeof value === 'function' || typeof value === 'symbol') return 500;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 400;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype ? 400 : 500;
}

/** Names the fault of a value that can neither be a key nor be part of one. */
function show(value: unknown): string {
  if (typeof value === 'string') return value === '' ? 'an empty string' : 'a string with half a surrogate pair';
  if (typeof value === 'object' && value !== null) return 'an object';
  return typeof value === 'function' || typeof value === 'symbol' ? `a ${typeof value}` : String(value);
}
