import { Command, type Redis } from 'ioredis';
import { SystemClock } from '../../../core/clock.js';
import { Deadlines } from '../../../core/deadlines.js';
import type { Timed } from '../../../core/heap.js';
import type { ScriptCall } from './script-call.js';

const AS_TEXT = { replyEncoding: 'utf8' } as const;

/** A call on its way to one server. */
class ScriptCommand extends Command implements Timed {
  place: number | undefined;
  /** Known once it has left. */
  deadline = Infinity;
  readonly #encoded: Buffer;
  readonly #unanswered: Deadlines<ScriptCommand>;

  constructor(name: 'eval' | 'evalsha', encoded: Buffer, unanswered: Deadlines<ScriptCommand>) {
    super(name, [], AS_TEXT);
    this.#encoded = encoded;
    this.#unanswered = unanswered;
  }

  /** A timer for each command costs too much: see AnswerTimeout. */
  override setTimeout(): void {}

  override toWritable(): Buffer {
    return this.#encoded;
  }

  /** Called with the answer, before the promise resolves: to listen to that would cost another promise. */
  override transformReply(reply: Buffer | Buffer[]): string | string[] | Buffer | Buffer[] {
    this.#unanswered.remove(this);
    return super.transformReply(reply);
  }
}

/**
 * Sends calls, and rejects what is not answered in time. The time of an answer runs from the moment at which the call
 * left, and it is over only once the socket was read: a process that was busy for longer blames no server for that.
 */
export class AnswerTimeout {
  readonly #limit: number;
  readonly #clock = new SystemClock();
  #written: ScriptCommand[] = [];
  /** Those that failed are among them until their time is over. */
  readonly #unanswered = new Deadlines<ScriptCommand>(this.#clock, (command) => {
    // Timers run before the socket is read.
    setImmediate(() => command.reject(new Error('Command timed out')));
  });

  /** @param limit milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** `left` has to follow. @param isWhole with the script itself, for a server that does not know it */
  send(client: Redis, call: ScriptCall, isWhole = false): Promise<unknown> {
    const command = isWhole
      ? new ScriptCommand('eval', call.whole, this.#unanswered)
      : new ScriptCommand('evalsha', call.encoded, this.#unanswered);
    try {
      const answer = client.sendCommand(command) as Promise<unknown>;
      this.#written.push(command);
      return answer;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** What was written is given to the system now. */
  left(): void {
    const written = this.#written;
    this.#written = [];
    const now = this.#clock.now();
    for (const command of written) {
      command.deadline = now + this.#limit;
      this.#unanswered.add(command, now);
    }
  }
}
