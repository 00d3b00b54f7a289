import type { Redis } from 'ioredis';
import { monotonicNow } from '../../../core/clock.js';
import type { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { pause } from '../../../core/pause.js';
import { classify } from '../commands/reply-errors.js';
import type { ScriptCall } from '../commands/script-call.js';
import { AnswerTimeout } from '../commands/script-command.js';
import { FailoverQuarantine } from '../failover/failover-quarantine.js';
import { ReplicaAcks } from '../failover/replica-acks.js';
import type { ConnectionPlan } from './connection-options.js';

/** The parts that the connections of one driver share. */
export interface NodeContext {
  readonly plan: Pick<ConnectionPlan, 'clock' | 'acks' | 'loginRotates'>;
  readonly answers: AnswerTimeout;
  readonly quarantine: FailoverQuarantine | undefined;
}

/** @param run runs a script wherever its keys are  @param replaced a connection leads to another reign than before */
export function contextOf(
  plan: ConnectionPlan,
  run: (call: ScriptCall) => Promise<unknown>,
  replaced: () => void,
): NodeContext {
  const { quarantine: duration } = plan;
  return {
    plan,
    answers: new AnswerTimeout(plan.commandTimeout, plan.clock),
    quarantine:
      duration === undefined ? undefined : new FailoverQuarantine({ duration, now: monotonicNow, run, replaced }),
  };
}

/**
 * One connection to one server: the way of a script to its reply.
 *
 * 1. The scripts of one tick leave in one write.
 * 2. A server that does not know a script gets it whole.
 * 3. With `failoverQuarantine` a grant passes the quarantine first.
 * 4. With `replicas.ack` a grant or a renewal counts once enough replicas have it.
 *
 * Errors are those of the server or of ioredis: the caller looks for redirections in them before it classifies them.
 */
export class RedisNode {
  readonly client: Redis;
  /** For messages; never credentials. */
  readonly name: string;
  readonly #context: NodeContext;
  readonly #acks: ReplicaAcks | undefined;
  #isCorked = false;
  #opening: Promise<void> | undefined;

  constructor(client: Redis, name: string, context: NodeContext) {
    this.client = client;
    this.name = name;
    this.#context = context;
    this.#acks = context.plan.acks && new ReplicaAcks(client, name, context.plan.acks);
    context.quarantine?.watch(client, name);
  }

  /** @param asking at a node that is taking the slot over */
  run(call: ScriptCall, asking = false): Promise<unknown> {
    const { quarantine } = this.#context;
    return quarantine && call.rules.inReign ? quarantine.grant(call, this, asking) : this.send(call, asking);
  }

  /** Passes no quarantine. */
  // Not an async function: it would cost each call one more promise.
  send(call: ScriptCall, asking = false): Promise<unknown> {
    return this.#write(call, asking).catch((error: unknown) => {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return this.#write(call, asking, true);
    });
  }

  /** The error of this package for a failed call. @param repair instead of the one in the table */
  classify(error: unknown, repair?: string): DriverUnavailableError | LockConfigError {
    return classify(error, this.name, this.#context.plan.loginRotates, repair);
  }

  /** Opens a connection that was not used before. Resolves with true when it is usable within `limit` milliseconds. */
  async becomesReady(limit: number): Promise<boolean> {
    const { client } = this;
    if (client.status === 'wait') client.connect().catch(() => undefined);
    if (client.status === 'ready') return true;
    if (client.status === 'end') return false;
    this.#opening ??= new Promise<void>((resolve) => client.once('ready', resolve).once('end', resolve)).finally(
      () => (this.#opening = undefined),
    );
    await Promise.race([this.#opening, pause(this.#context.plan.clock, limit)]);
    return isReady(client);
  }

  #write(call: ScriptCall, asking: boolean, isWhole = false): Promise<unknown> {
    this.#cork();
    if (asking) this.client.asking().catch(() => undefined);
    const answer = this.#context.answers.send(this.client, call, isWhole);
    return this.#acks && call.rules.needsReplicas ? this.#acknowledged(this.#acks, call, answer) : answer;
  }

  async #acknowledged(acks: ReplicaAcks, call: ScriptCall, answer: Promise<unknown>): Promise<unknown> {
    const acknowledged = acks.confirm();
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
      this.#context.answers.left();
    });
  }
}

const isReady = ({ status }: Redis): boolean => status === 'ready';
