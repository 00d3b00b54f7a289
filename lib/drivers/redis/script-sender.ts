import type { Redis } from 'ioredis';
import type { ReplicaAcks } from './replica-acks.js';
import { type AnswerTimeout, ScriptCommand } from './script-command.js';
import type { ScriptCall } from './servers.js';

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

  /** @param asking on a node that is taking the slot over */
  async run(call: ScriptCall, asking = false): Promise<unknown> {
    const { script, keys, args } = call;
    this.#cork();
    try {
      if (asking) this.#asking();
      const answer = this.#answers.send(this.client, new ScriptCommand(script.sha, keys, args));
      return await (this.#acks && call.needsReplicas ? this.#acknowledged(call, answer) : answer);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    }
    this.#cork();
    if (asking) this.#asking();
    const answer = this.client.eval(script.lua, keys.length, ...keys, ...args);
    return this.#acks && call.needsReplicas ? this.#acknowledged(call, answer) : answer;
  }

  async #acknowledged(call: ScriptCall, answer: Promise<unknown>): Promise<unknown> {
    const acknowledged = this.#acks!.confirm();
    acknowledged.catch(() => undefined);
    const reply = await answer;
    if (call.needsReplicas!(reply)) await acknowledged;
    return reply;
  }

  #asking(): void {
    this.client.asking().catch(() => undefined);
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
    });
  }
}
