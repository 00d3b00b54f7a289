import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import type { Clock, Timer } from '../../../core/clock.js';
import { detached } from '../../../core/detached.js';

/** A value, or a function that gives it for each connection: for passwords and certificates that are renewed. */
export type AskedEachTime<T> = T | (() => T | Promise<T>);

/** The login and the encryption of connections. */
export interface Access {
  readonly username?: AskedEachTime<string> | null | undefined;
  readonly password?: AskedEachTime<string> | null | undefined;
  readonly tls?: AskedEachTime<ConnectionOptions> | undefined;
  readonly sentinelUsername?: AskedEachTime<string> | null | undefined;
  readonly sentinelPassword?: AskedEachTime<string> | null | undefined;
  readonly sentinelTLS?: AskedEachTime<ConnectionOptions> | undefined;
}

export type WithAccess<Options> = Omit<Options, keyof Access> & Access;

const LOGIN = ['username', 'password', 'sentinelUsername', 'sentinelPassword'] as const;
const TLS = ['tls', 'sentinelTLS'] as const;

/**
 * Stands for a name or a password in the options of a client. ioredis reads both before it asks its connector for a stream
 * (redis/ioredis#1738), and calls `toString` when it writes the login. By then the connector has fetched the text.
 */
class LoginText {
  #text = '';

  set(text: string): void {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** The functions among the access options of one driver. They are called before each connection. */
export class AccessSource {
  /** A login that was refused may be accepted the next time. */
  readonly rotates: boolean;
  readonly #functions = new Map<keyof Access, () => unknown>();
  readonly #logins = new Map<keyof Access, LoginText>();
  readonly #timeout: number;
  readonly #clock: Clock;

  /** @param timeout milliseconds that a function may take */
  constructor(access: Access, timeout: number, clock: Clock) {
    this.#timeout = timeout;
    this.#clock = clock;
    for (const name of [...LOGIN, ...TLS]) {
      const value = access[name];
      if (typeof value === 'function') this.#functions.set(name, value);
    }
    for (const name of LOGIN) if (this.#functions.has(name)) this.#logins.set(name, new LoginText());
    this.rotates = this.#logins.size > 0;
  }

  /** The options that a client gets in place of the functions. */
  get placeholders(): RedisOptions {
    const tls = TLS.filter((name) => this.#functions.has(name)).map((name) => [name, {}]);
    return Object.fromEntries([...this.#logins, ...tls]) as RedisOptions;
  }

  /** Calls all functions, and puts the certificates into the options of the client that is about to connect. */
  async refresh(options: RedisOptions): Promise<void> {
    await Promise.all([...this.#functions].map(([name, ask]) => this.#refresh(options, name, ask)));
  }

  async #refresh(options: RedisOptions, name: keyof Access, ask: () => unknown): Promise<void> {
    const value = await this.#answer(name, ask);
    const login = this.#logins.get(name);
    if (login && typeof value === 'string' && value !== '') login.set(value);
    else if (!login && typeof value === 'object' && value !== null) Object.assign(options, { [name]: value });
    else throw new Error(`The function \`${name}\` did not give ${login ? 'a text' : 'an object with TLS options'}.`);
  }

  async #answer(name: keyof Access, ask: () => unknown): Promise<unknown> {
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      const giveUp = (): void => reject(new Error(`no answer within ${this.#timeout} ms`));
      timer = this.#clock.after(this.#timeout, giveUp, true);
    });
    try {
      return await Promise.race([detached(async () => ask()), late]);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`The function \`${name}\` failed: ${reason}`, { cause });
    } finally {
      timer?.cancel();
    }
  }
}
