import { Command, type Redis } from 'ioredis';
import type { Clock } from '../../../core/clock.js';
import { Deadlines } from '../../../core/deadlines.js';
import type { Timed } from '../../../core/heap.js';
import type { ScriptCall } from './script-call.js';

const AS_TEXT = { replyEncoding: 'utf8' } as const;

/**
 * A call on its way to one server. Overrides three methods of ioredis's Command, which versions 5 and 6 call by these
 * names.
 */
class ScriptCommand extends Command implements Timed {
  place: number | undefined;
  /** Set when the call has left. */
  deadline = Infinity;
  readonly #encoded: Buffer;
  readonly #unanswered: Deadlines<ScriptCommand>;

  constructor(name: 'eval' | 'evalsha', encoded: Buffer, unanswered: Deadlines<ScriptCommand>) {
    super(name, [], AS_TEXT);
    this.#encoded = encoded;
    this.#unanswered = unanswered;
  }

  /** ioredis starts a timer for each command; AnswerTimeout has one for all. */
  override setTimeout(): void {}

  override toWritable(): Buffer {
    return this.#encoded;
  }

  /** ioredis calls it with the answer. A `then` on the promise would cost each call another promise. */
  override transformReply(reply: Buffer | Buffer[]): string | string[] | Buffer | Buffer[] {
    this.#unanswered.remove(this);
    return super.transformReply(reply);
  }
}

/**
 * Sends calls, and rejects those that are not answered in time.
 *
 * 1. The time begins when the call leaves. ioredis starts it before the call is written (redis/ioredis#2130).
 * 2. The time ends after the socket was read once more.
 *
 * So a process that was busy for longer than the limit does not reject answers that have arrived meanwhile.
 */
export class AnswerTimeout {
  readonly #limit: number;
  readonly #clock: Clock;
  #written: ScriptCommand[] = [];
  /** Calls that failed stay here until their time is over. */
  readonly #unanswered: Deadlines<ScriptCommand>;

  /** @param limit milliseconds */
  constructor(limit: number, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
    this.#unanswered = new Deadlines<ScriptCommand>(clock, (command) => {
      // Node runs timers before it reads the socket.
      setImmediate(() => command.reject(new Error('Command timed out')));
    });
  }

  /** Call `left` in the same tick. @param isWhole sends the script itself, to a server that does not know it */
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

  /** The calls that were sent in this tick are given to the operating system now. */
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
