import { backoff } from '../../../core/backoff.js';
import type { EtcdConnection } from './connection.js';
import type { WatchCreateRequest } from './messages.js';
import { type Watch, type WatchListener, WatchStream } from './watch-stream.js';

/**
 * All watches of a driver over one stream, which is opened again, on another member if need be, when it ends. A watch
 * that was interrupted, or begins with a revision that the store has compacted, goes on from the present, and says so.
 *
 * A stream keeps the token that it was opened with. So a watch that is refused asks whether the token still counts,
 * and where it does not all watches begin anew on a stream with a new one.
 */
export class Watches {
  readonly #connection: EtcdConnection;
  readonly #watches = new Set<Watch>();
  #stream: WatchStream | undefined;
  #isOpening = false;
  /** How often it was told to use another connection. */
  #moves = 0;
  /** Streams that ended since one delivered something. */
  #failures = 0;
  /** The question whether the token of the stream still counts. */
  #asking: Promise<boolean> | undefined;

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /** Returns what ends it. */
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

  /** Keeps the stream open also without watches: it is how a lost connection is noticed. */
  open(): void {
    if (!this.#stream && !this.#isOpening && !this.#connection.isClosed) void this.#open();
  }

  /** Over the connection that is used now. */
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
    await pause(watch.refusals++);
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
    await pause(this.#failures++);
    this.open();
  }
}

function pause(failures: number): Promise<void> {
  const delay = backoff(failures, 50, 1000, Math.random);
  return new Promise((resolve) => void setTimeout(resolve, delay).unref());
}
