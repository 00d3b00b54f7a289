import { type Duration, type Milliseconds, toMilliseconds } from './duration.js';
import { LockConfigError } from './errors.js';
import type { TtlRange } from './lock-driver.js';

/** Bytes as JSON. */
const LARGEST_METADATA = 4096;

/** Checks the options of one call or registration, and reports all problems in one error. */
export class OptionsCheck {
  readonly #where: string;
  readonly #problems: string[] = [];

  /** @param where names the place in messages, such as `DistLockModule.forRoot()` */
  constructor(where: string) {
    this.#where = where;
  }

  problem(text: string): void {
    this.#problems.push(text);
  }

  /** How many problems there are so far. */
  get count(): number {
    return this.#problems.length;
  }

  /** An object with no other properties than `known`; an empty one when it is not an object. */
  object<T extends object>(value: T | undefined, path: string, known: readonly (keyof T & string)[]): Partial<T> {
    if (value === undefined) return {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.problem(`${path || 'options'}: expected an object.`);
      return {};
    }
    for (const name of Object.keys(value)) {
      if ((known as readonly string[]).includes(name)) continue;
      this.problem(`${path ? `${path}.` : ''}${name}: unknown option. Known: ${known.join(', ')}.`);
    }
    return value;
  }

  /** The duration, or `fallback` where the option is absent or wrong. */
  duration(value: Duration | undefined, path: string, fallback: Milliseconds): Milliseconds {
    if (value === undefined) return fallback;
    try {
      return toMilliseconds(value, path);
    } catch (error) {
      this.problem((error as Error).message);
      return fallback;
    }
  }

  /** As `duration`; a TTL that the driver does not accept is wrong also where it is the fallback. */
  ttl(
    value: Duration | undefined,
    path: string,
    fallback: Milliseconds,
    { minTtl, maxTtl = Infinity }: TtlRange,
  ): Milliseconds {
    const ttl = this.duration(value, path, fallback);
    if (ttl < minTtl) this.problem(`${path}: ${ttl} ms is under the minimum of ${minTtl} ms. Set a longer one.`);
    if (ttl > maxTtl) {
      this.problem(
        `${path}: ${ttl} ms is over the maximum of ${maxTtl} ms, which the driver sets. Set a shorter one, or raise ` +
          'the maximum (of RedisDriver: failoverQuarantine).',
      );
    }
    return ttl;
  }

  ofType(value: unknown, path: string, type: 'boolean' | 'string' | 'function'): void {
    if (value !== undefined && typeof value !== type) this.problem(`${path}: expected a ${type}.`);
  }

  /** Metadata goes into the store with every lease, and to every instance with every member. */
  metadata(value: unknown, path: string): void {
    if (value === undefined) return;
    const fits =
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((entry) => typeof entry === 'string');
    if (!fits) return this.problem(`${path}: expected an object whose values are strings.`);
    const size = Buffer.byteLength(JSON.stringify(value));
    if (size <= LARGEST_METADATA) return;
    this.problem(
      `${path}: ${size} bytes as JSON are more than the ${LARGEST_METADATA} that the store keeps beside a lease. ` +
        'Store large values elsewhere, and keep their id here.',
    );
  }

  wholeNumber(value: number | undefined, path: string, fallback: number): number {
    if (value === undefined) return fallback;
    if (!Number.isSafeInteger(value) || value < 1) this.problem(`${path}: expected a whole number above 0.`);
    return value;
  }

  names(value: unknown, path: string): void {
    if (value === undefined) return;
    const fits = Array.isArray(value) && value.every((name) => typeof name === 'string');
    if (!fits) this.problem(`${path}: expected an array of names, such as ['default', 'reports'].`);
  }

  /** @throws LockConfigError with every problem found */
  done(): void {
    if (this.#problems.length > 0) throw new LockConfigError(`${this.#where}: ${this.#problems.join(' ')}`);
  }
}
