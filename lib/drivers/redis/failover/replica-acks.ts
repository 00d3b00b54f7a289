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
 * Makes sure that what one connection has written is on its server's replicas, with WAIT. A server that waits executes
 * nothing else for the connection, so at most one WAIT is under way: what is written meanwhile shares the next.
 *
 * 'majority' and 'all' count the replicas that are attached when the acknowledgement comes, and one at least: a replica
 * that has been cut off for so long that its master has forgotten it is not among them.
 */
export class ReplicaAcks {
  readonly #client: Redis;
  readonly #server: string;
  readonly #rule: AckRule;
  /** What was written in this tick, or while a WAIT is under way. */
  #next: Round | undefined;
  #isWaiting = false;
  /** As the server told last. */
  #replicas = 1;

  constructor(client: Redis, server: string, rule: AckRule) {
    this.#client = client;
    this.#server = server;
    this.#rule = rule;
  }

  /** Resolves once enough replicas have what the connection has written so far; rejects when they do not in time. */
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
        // Not asked, perhaps, but what it is about was executed; where that failed, nobody looks here.
        throw new DriverUnavailableError(message, { cause: error, sent: true });
      });
      const needed = this.#needed();
      if (acked >= needed) return;
      // Another replica was attached since the last look.
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
    // Of a master and n replicas more than half, itself included.
    return Math.max(1, ack === 'all' ? this.#replicas : Math.floor((this.#replicas + 1) / 2));
  }
}
