import type { Redis } from 'ioredis';
import type { Clock } from '../../../core/clock.js';
import { Deadlines } from '../../../core/deadlines.js';
import type { Timed } from '../../../core/heap.js';

/**
 * ioredis listens to the first error of a socket only (redis/ioredis#961). A socket that is closed during a failing TLS
 * handshake has a second error, and an error without a listener ends the process.
 */
export function hearAllErrors(client: Redis): void {
  client.on('error', () => client.stream?.on('error', () => undefined));
}

/** The names of these members are the same in ioredis 5 and 6. Its types do not have them. */
interface Internals {
  stream: Redis['stream'];
  /** ioredis looks if there is one, and calls clearTimeout with it, which ignores a foreign object. */
  socketTimeoutTimer: object | undefined;
  readonly commandQueue: { readonly length: number };
  setSocketTimeout(): void;
}

/** A connection that has not answered since a command left. */
interface Silence extends Timed {
  deadline: number;
  readonly end: () => void;
}

/**
 * ioredis destroys a connection on which nothing arrives for `socketTimeout` after a command. Its time begins before the
 * command has left, and ends before the socket is read. So a process that is busy for that long loses the connection and
 * the answers on it. Here the time begins when the command leaves, and ends after the socket was read once more.
 */
export function readBeforeTimeout(client: Redis, clock: Clock): void {
  const { socketTimeout } = client.options;
  if (socketTimeout === undefined) return;
  const internals = client as unknown as Internals;
  // One timer for all commands of the connection.
  const silences = new Deadlines<Silence>(clock, ({ end }) => setImmediate(end));
  internals.setSocketTimeout = (): void => {
    const { stream } = internals;
    const silence: Silence = {
      deadline: Infinity,
      place: undefined,
      end: () => {
        if (internals.socketTimeoutTimer !== silence) return;
        internals.socketTimeoutTimer = undefined;
        stream.destroy(new Error(`Socket timeout. Expecting data, but didn't receive any in ${socketTimeout}ms.`));
      },
    };
    internals.socketTimeoutTimer = silence;
    process.nextTick(() => {
      if (internals.socketTimeoutTimer !== silence) return;
      const now = clock.now();
      silence.deadline = now + socketTimeout;
      silences.add(silence, now);
    });
    stream.once('data', () => {
      silences.remove(silence);
      if (internals.socketTimeoutTimer !== silence) return;
      internals.socketTimeoutTimer = undefined;
      if (internals.commandQueue.length > 0) internals.setSocketTimeout();
    });
  };
}
