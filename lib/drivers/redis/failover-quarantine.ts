import { DriverUnavailableError } from '../../core/errors.js';
import { namespaceOf } from '../../core/store-key.js';
import { ScriptCall } from './script-call.js';
import type { ScriptSender } from './script-sender.js';
import { scripts } from './scripts/scripts.generated.js';

/**
 * Keeps a server that has not been the master for long from granting leases: those that its predecessor granted and
 * did not replicate have run out by then. Which process was the master, and since when, is kept in the store, so that
 * an instance that starts after the change knows of it; a server that has just lost its data counts as a new master.
 */
export class FailoverQuarantine {
  /** Milliseconds. */
  readonly duration: number;
  /** Until when nothing is granted, in local time, by connection and namespace. */
  readonly #known = new WeakMap<object, Map<string, number>>();

  constructor(duration: number) {
    this.duration = duration;
  }

  /**
   * Resolves when the server at the other end of the connection may grant leases.
   *
   * @throws DriverUnavailableError while it may not
   */
  async pass(sender: ScriptSender, server: string, { keys }: ScriptCall): Promise<void> {
    // Keys begin with a brace and the namespace.
    const namespace = namespaceOf(keys[0]!.slice(1));
    for (;;) {
      const { stream } = sender.client;
      const known = this.#known.get(stream) ?? new Map<string, number>();
      this.#known.set(stream, known);
      const until = known.get(namespace);
      if (until !== undefined) {
        const left = until - performance.now();
        if (left <= 0) return;
        throw new DriverUnavailableError(
          `Redis at ${server} has a new master: no lock is granted for ${Math.ceil(left)} ms (failoverQuarantine).`,
          { sent: false },
        );
      }
      const age = (await sender.run(new ScriptCall(scripts.master, [`{${namespace}:q:}`], []))) as number;
      known.set(namespace, performance.now() + this.duration - Math.max(0, age));
    }
  }
}
