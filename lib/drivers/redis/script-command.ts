import { Command, type Redis } from 'ioredis';
import { type Linked, LinkedList } from '../../core/linked-list.js';
import { detached } from '../../core/call-chain.js';

/**
 * An EVALSHA that encodes itself at once where all of it is ASCII, as it almost always is. What ioredis does for each
 * argument of any command costs more than the rest of the way to the socket.
 */
export class ScriptCommand extends Command implements Linked<ScriptCommand> {
  before: ScriptCommand | undefined;
  after: ScriptCommand | undefined;
  readonly sentAt = performance.now();

  constructor(sha: string, keys: readonly string[], args: readonly (string | number)[]) {
    super('evalsha', [], { replyEncoding: 'utf8' });
    this.args = [sha, String(keys.length), ...keys, ...args.map(String)];
  }

  /** A timer for each command costs too much: see AnswerTimeout. */
  override setTimeout(): void {}

  override toWritable(socket: object): string | Buffer {
    let text = `*${this.args.length + 1}\r\n$7\r\nevalsha\r\n`;
    for (const argument of this.args as string[]) text += `$${argument.length}\r\n${argument}\r\n`;
    return Buffer.byteLength(text) === text.length ? text : super.toWritable(socket);
  }
}

/** Sends commands, and rejects what is not answered in time. One timer for all: most have gone before it fires. */
export class AnswerTimeout {
  readonly #limit: number;
  /** The oldest first. */
  readonly #unanswered = new LinkedList<ScriptCommand>();
  #timer: NodeJS.Timeout | undefined;

  /** @param limit milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
  }

  async send(client: Redis, command: ScriptCommand): Promise<unknown> {
    this.#unanswered.append(command);
    if (!this.#timer) this.#arm(this.#limit);
    try {
      return await client.sendCommand(command);
    } finally {
      this.#unanswered.remove(command);
    }
  }

  #arm(milliseconds: number): void {
    this.#timer = detached(() => setTimeout(() => this.#tick(), milliseconds).unref());
  }

  #tick(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const command of this.#unanswered.items()) {
      const left = command.sentAt + this.#limit - now;
      if (left > 0) return this.#arm(Math.ceil(left));
      this.#unanswered.remove(command);
      command.reject(new Error('Command timed out'));
    }
  }
}
