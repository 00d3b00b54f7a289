import type { Redis } from 'ioredis';

/** What ioredis 5 and 6 call by these names, though not in their types. */
interface Internals {
  stream: Redis['stream'];
  socketTimeoutTimer: NodeJS.Timeout | undefined;
  readonly commandQueue: { readonly length: number };
  setSocketTimeout(): void;
}

/**
 * ioredis hangs up when nothing was heard for `socketTimeout` after a command. Its time begins before the command has
 * left, and ends before the socket is read: a process that is busy for so long loses its connection, and all that was
 * answered on it. Here the time begins when the command leaves, and the socket is read before it is over.
 */
export function readBeforeTimeout(client: Redis): void {
  const { socketTimeout } = client.options;
  if (socketTimeout === undefined) return;
  const internals = client as unknown as Internals;
  internals.setSocketTimeout = (): void => {
    const { stream } = internals;
    let isSilent = true;
    const judge = (): void => {
      if (!isSilent) return;
      internals.socketTimeoutTimer = undefined;
      stream.destroy(new Error(`Socket timeout. Expecting data, but didn't receive any in ${socketTimeout}ms.`));
    };
    const timer = setTimeout(() => setImmediate(judge), socketTimeout).unref();
    internals.socketTimeoutTimer = timer;
    process.nextTick(() => internals.socketTimeoutTimer === timer && timer.refresh());
    stream.once('data', () => {
      isSilent = false;
      clearTimeout(timer);
      internals.socketTimeoutTimer = undefined;
      if (internals.commandQueue.length > 0) internals.setSocketTimeout();
    });
  };
}
