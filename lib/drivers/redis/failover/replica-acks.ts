import type { Redis } from 'ioredis';
import { DriverUnavailableError } from '../../../core/errors.js';
import { classify } from '../commands/reply-errors.js';

export interface AckRule {
  readonly ack: number | 'majority' | 'all';
  /** Milliseconds. */
  readonly timeout: number;
}

interface Round {
  readonly done: Promise<void>;
  readonly start: (work: Promise<void>) => void;
}

/**
 * Makes sure, with WAIT, that the writes of one connection are on replicas of its server.
 *
 * 1. WAIT counts the writes of its own connection.
 * 2. A server executes nothing else for a connection that waits. So at most one WAIT is under way, and the writes of that
 *    time share the next one.
 * 3. 'majority' and 'all' count the replicas that are attached when the acknowledgement comes, and at least one.
 *
 * Not covered: a replica that was cut off for so long that its master has forgotten it. It is not counted.
 */
export class ReplicaAcks {
  readonly #client: Redis;
  readonly #server: string;
  readonly #rule: AckRule;
  /** For the writes of this tick, or of the time in which a WAIT is under way. */
  #next: Round | undefined;
  #isWaiting = false;
  /** The number in the latest answer of the server. */
  #replicas = 1;

  constructor(client: Redis, server: string, rule: AckRule) {
    this.#client = client;
    this.#server = server;
    this.#rule = rule;
  }

  /** Resolves once enough replicas have all writes of the connection so far; rejects when they do not in time. */
  confirm(): Promise<void> {
    if (!this.#next) {
      let start!: Round['start'];
      const done = new Promise<void>((resolve) => (start = resolve));
      this.#next = { done, start };
    }
    return this.#next.done;
  }

  /** At the end of a tick in which something was written. */
  flush(): void {
    const round = this.#next;
    if (!round || this.#isWaiting) return;
    this.#next = undefined;
    this.#isWaiting = true;
    round.start(
      this.#wait().finally(() => {
        this.#isWaiting = false;
        this.flush();
      }),
    );
  }

  async #wait(): Promise<void> {
    for (;;) {
      const asked = this.#needed();
      const acked = await this.#ask(asked).catch((error: unknown) => {
        const { message } = classify(error, this.#server);
        // WAIT may not have been sent, but the script was executed. Where the script failed, nobody reads this error.
        throw new DriverUnavailableError(message, { cause: error, sent: true });
      });
      const needed = this.#needed();
      if (acked >= needed) return;
      // Another replica was attached since the last answer.
      if (acked >= asked) continue;
      throw new DriverUnavailableError(
        `Redis at ${this.#server}: ${acked} of the ${needed} replicas that \`replicas.ack\` asks for confirmed within ` +
          `${this.#rule.timeout} ms. Look at the replicas, or lower \`replicas.ack\`.`,
        { sent: true },
      );
    }
  }

  async #ask(replicas: number): Promise<number> {
    const { ack, timeout } = this.#rule;
    const acked = this.#client.wait(replicas, timeout);
    if (typeof ack === 'number') return acked;
    const [count, info] = await Promise.all([acked, this.#client.info('replication')]);
    this.#replicas = Number(/^connected_slaves:(\d+)/m.exec(info)?.[1] ?? 0);
    return count;
  }

  #needed(): number {
    const { ack } = this.#rule;
    if (typeof ack === 'number') return ack;
    // More than half of the master and its n replicas, the master included.
    return Math.max(1, ack === 'all' ? this.#replicas : Math.floor((this.#replicas + 1) / 2));
  }
}
