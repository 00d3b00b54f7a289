import { Command, type Redis } from 'ioredis';
import { SystemClock } from '../../core/clock.js';
import { Deadlines, type Timed } from '../../core/deadlines.js';
import type { ScriptCall } from './script-call.js';

const AS_TEXT = { replyEncoding: 'utf8' } as const;

/** A call on its way to one server. */
class ScriptCommand extends Command implements Timed<ScriptCommand> {
  before: ScriptCommand | undefined;
  after: ScriptCommand | undefined;
  readonly deadline: number;
  readonly #call: ScriptCall;
  readonly #unanswered: Deadlines<ScriptCommand>;

  constructor(call: ScriptCall, unanswered: Deadlines<ScriptCommand>, deadline: number) {
    super('evalsha', [], AS_TEXT);
    this.#call = call;
    this.#unanswered = unanswered;
    this.deadline = deadline;
  }

  /** A timer for each command costs too much: see AnswerTimeout. */
  override setTimeout(): void {}

  override toWritable(): Buffer {
    return this.#call.encoded;
  }

  /** Called with the answer, before the promise resolves: to listen to that would cost another promise. */
  override transformReply(reply: Buffer | Buffer[]): string | string[] | Buffer | Buffer[] {
    this.#unanswered.remove(this);
    return super.transformReply(reply);
  }
}

/** Sends calls, and rejects what is not answered in time. */
export class AnswerTimeout {
  readonly #limit: number;
  readonly #clock = new SystemClock();
  /** Those that failed are among them until their time is over. */
  readonly #unanswered = new Deadlines<ScriptCommand>(this.#clock, (command) => {
    command.reject(new Error('Command timed out'));
  });

  /** @param limit milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
  }

  send(client: Redis, call: ScriptCall): Promise<unknown> {
    const now = this.#clock.now();
    const command = new ScriptCommand(call, this.#unanswered, now + this.#limit);
    try {
      const answer = client.sendCommand(command) as Promise<unknown>;
      this.#unanswered.add(command, now);
      return answer;
    } catch (error) {
      return Promise.reject(error);
    }
  }
}
