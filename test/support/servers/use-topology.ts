import { afterAll, afterEach, beforeAll } from 'vitest';

interface Stoppable {
  stop(): Promise<unknown>;
}

/**
 * Starts servers once, before the tests of the file or of the block that calls this function, and stops them after the
 * last test. Returns a stand-in for the servers: a spec names it before the start, and uses it in tests and hooks.
 */
export function useTopology<T extends Stoppable | readonly Stoppable[]>(start: () => Promise<T>): T {
  return useStarted(start, (started) => Promise.all([started].flat().map((each) => each.stop())));
}

/** Does the same for anything that does not end with `stop()`. */
export function useStarted<T extends object>(start: () => T | Promise<T>, end: (started: T) => unknown): T {
  let started: T | undefined;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    if (started) await end(started);
  });
  return new Proxy({} as T, {
    get(_, name) {
      if (!started) throw new Error(`Not started: read "${String(name)}" in a test or a hook.`);
      // The stand-in has no private fields, which methods read.
      const value: unknown = Reflect.get(started, name);
      return typeof value === 'function' ? (value.bind(started) as unknown) : value;
    },
  });
}

/** A list for each test: its functions are called after the test, the last one first. */
export function useClosing(): (() => unknown)[] {
  const closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });
  return closing;
}
