import { backoff } from '../../../core/backoff.js';
import type { Clock, Random } from '../../../core/clock.js';
import { pause } from '../../../core/pause.js';
import type { EtcdConnection } from './connection.js';
import type { WatchCreateRequest } from './messages.js';
import { type Watch, type WatchListener, WatchStream } from './watch-stream.js';

/**
 * All watches of a driver over one stream. When the stream ends, it is opened again, if need be on another member.
 *
 * 1. A watch that was interrupted goes on from the present, and reports that changes may have been missed. So does a
 *    watch that begins with a revision which the store has compacted.
 * 2. A stream keeps the token that it was opened with. When a watch is refused, a request tries the token. If the token
 *    does not count any more, all watches begin again on a stream with a new token.
 */
export class Watches {
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #watches = new Set<Watch>();
  #stream: WatchStream | undefined;
  #isOpening = false;
  /** Calls of `move`. */
  #moves = 0;
  /** Streams that ended since the last one that delivered something. */
  #failures = 0;
  /** The request that tries the token of the stream. */
  #asking: Promise<boolean> | undefined;

  constructor(connection: EtcdConnection, clock: Clock, random: Random) {
    this.#connection = connection;
    this.#clock = clock;
    this.#random = random;
  }

  /** Returns a function that ends the watch. */
  watch(request: WatchCreateRequest, listener: WatchListener): () => void {
    const watch: Watch = { request, listener, isInterrupted: false, hasEnded: false, refusals: 0 };
    this.#watches.add(watch);
    if (this.#stream) this.#stream.begin(watch);
    else this.open();
    return () => {
      watch.hasEnded = true;
      if (this.#watches.delete(watch)) this.#stream?.end(watch);
    };
  }

  /** Opens the stream, also without watches: a lost connection is noticed by it. */
  open(): void {
    if (!this.#stream && !this.#isOpening && !this.#connection.isClosed) void this.#open();
  }

  /** Opens the stream again, over the connection that is used now. */
  move(): void {
    this.#moves++;
    this.#end();
    this.open();
  }

  close(): void {
    this.#watches.clear();
    this.#end();
  }

  async #open(): Promise<void> {
    this.#isOpening = true;
    const moves = this.#moves;
    try {
      const opened = await this.#connection.stream('watch');
      const stream = new WatchStream(opened, {
        heard: () => (this.#failures = 0),
        ended: (error) => void this.#lost(stream, error),
        refused: (watch) => void this.#refused(stream, watch),
        interrupted: (watch) => void this.#again(stream, watch),
      });
      if (this.#connection.isClosed) return stream.cancel();
      if (moves !== this.#moves) {
        stream.cancel();
        void this.#retry();
        return;
      }
      this.#stream = stream;
      for (const watch of this.#watches) stream.begin(watch);
    } catch {
      void this.#retry();
    } finally {
      this.#isOpening = false;
    }
  }

  async #refused(stream: WatchStream, watch: Watch): Promise<void> {
    this.#asking ??= this.#connection
      .stillTakes(stream.metadata, watch.request.key)
      .finally(() => (this.#asking = undefined));
    const isValid = await this.#asking;
    if (stream !== this.#stream) return;
    if (isValid) return this.#again(stream, watch);
    this.move();
  }

  async #again(stream: WatchStream, watch: Watch): Promise<void> {
    await this.#pause(watch.refusals++);
    if (stream === this.#stream && this.#watches.has(watch)) stream.begin(watch);
  }

  async #lost(stream: WatchStream, error: Error | undefined): Promise<void> {
    if (stream !== this.#stream) return;
    this.#end();
    if (error) await this.#connection.streamFailed(stream, error);
    await this.#connection.check();
    await this.#retry();
  }

  #end(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
    for (const watch of this.#watches) watch.isInterrupted = true;
  }

  async #retry(): Promise<void> {
    await this.#pause(this.#failures++);
    this.open();
  }

  #pause(failures: number): Promise<void> {
    return pause(this.#clock, backoff(failures, 50, 1000, this.#random));
  }
}
