import type { Redis } from 'ioredis';
import type { ReplicaAcks } from '../failover/replica-acks.js';
import type { ScriptCall } from './script-call.js';
import type { AnswerTimeout } from './script-command.js';

/** Scripts for one server over one connection: those of a tick leave in one write. Rejects with what the server said. */
export class ScriptSender {
  readonly client: Redis;
  readonly #answers: AnswerTimeout;
  readonly #acks: ReplicaAcks | undefined;
  #isCorked = false;

  constructor(client: Redis, answers: AnswerTimeout, acks: ReplicaAcks | undefined) {
    this.client = client;
    this.#answers = answers;
    this.#acks = acks;
  }

  // Not an async function, as each promise costs: one more than what the client gives.
  /** @param asking on a node that is taking the slot over */
  run(call: ScriptCall, asking = false): Promise<unknown> {
    return this.#send(call, asking).catch((error: unknown) => {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return this.#send(call, asking, true);
    });
  }

  /** @param isWhole with the script itself, for a server that does not know it */
  #send(call: ScriptCall, asking: boolean, isWhole = false): Promise<unknown> {
    this.#cork();
    if (asking) this.client.asking().catch(() => undefined);
    const answer = this.#answers.send(this.client, call, isWhole);
    return this.#acks && call.rules.needsReplicas ? this.#acknowledged(call, answer) : answer;
  }

  async #acknowledged(call: ScriptCall, answer: Promise<unknown>): Promise<unknown> {
    const acknowledged = this.#acks!.confirm();
    acknowledged.catch(() => undefined);
    const reply = await answer;
    if (call.rules.needsReplicas!(reply)) await acknowledged;
    return reply;
  }

  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    const { stream } = this.client;
    stream.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      this.#acks?.flush();
      stream.uncork();
      this.#answers.left();
    });
  }
}
