import { backoff } from '../../core/backoff.js';
import { classify, TokenRefusedError } from './call-errors.js';
import type { EtcdConnection } from './connection.js';
import type { Stream } from './member.js';
import type { KeyValue, WatchCreateRequest, WatchResponse } from './messages.js';

export interface WatchListener {
  /** A key was written, or is gone. */
  changed(kv: KeyValue, isGone: boolean): void;
  /** Changes may have gone by unseen: look for yourself. From now on they are seen again. */
  missed(): void;
}

interface Watch {
  readonly request: WatchCreateRequest;
  readonly listener: WatchListener;
  /** It was interrupted: what happened since is not known. */
  isInterrupted: boolean;
  /** Changes when it begins anew, because etcd may not have forgotten the former one. */
  id: number;
}

/**
 * All watches of a driver over one stream, which is opened again, on another member if need be, when it ends. A watch
 * that was interrupted, or begins with a revision that the store has compacted, goes on from the present, and says so.
 */
export class Watches {
  readonly #connection: EtcdConnection;
  readonly #watches = new Map<number, Watch>();
  #lastId = 0;
  #stream: Stream<'watch'> | undefined;
  #isOpening = false;
  /** Streams that ended since one delivered something. */
  #failures = 0;

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /** Returns what ends it. */
  watch(request: WatchCreateRequest, listener: WatchListener): () => void {
    const watch: Watch = { request, listener, isInterrupted: false, id: 0 };
    this.#begin(watch);
    if (!this.#stream) this.open();
    return () => {
      if (this.#watches.delete(watch.id)) this.#stream?.write({ cancelRequest: { watchId: watch.id } });
    };
  }

  /** Keeps the stream open also without watches: it is how a lost connection is noticed. */
  open(): void {
    if (!this.#stream && !this.#isOpening && !this.#connection.isClosed) void this.#open();
  }

  /** To the member that is used now. */
  move(): void {
    this.#end(this.#stream);
    this.open();
  }

  close(): void {
    this.#watches.clear();
    this.#end(this.#stream);
  }

  async #open(): Promise<void> {
    this.#isOpening = true;
    try {
      const { member, stream } = await this.#connection.stream('watch');
      this.#stream = stream;
      stream.on('data', (response) => this.#heard(stream, response));
      stream.on('error', (error) => {
        if (classify(error, member.address) instanceof TokenRefusedError) this.#connection.forgetToken();
        void this.#lost(stream);
      });
      stream.on('end', () => void this.#lost(stream));
      const watches = [...this.#watches.values()];
      for (const watch of watches) this.#begin(watch);
    } catch {
      void this.#retry();
    } finally {
      this.#isOpening = false;
    }
  }

  #begin(watch: Watch): void {
    this.#watches.delete(watch.id);
    watch.id = ++this.#lastId;
    this.#watches.set(watch.id, watch);
    const { request, isInterrupted, id: watchId } = watch;
    const startRevision = isInterrupted ? undefined : request.startRevision;
    this.#stream?.write({ createRequest: { ...request, startRevision, watchId } });
  }

  #heard(stream: Stream<'watch'>, { watchId, created, canceled, cancelReason, events }: WatchResponse): void {
    const watch = this.#watches.get(watchId);
    if (stream !== this.#stream || !watch) return;
    this.#failures = 0;
    if (canceled) {
      watch.isInterrupted = true;
      if (/auth token|auth store/.test(cancelReason)) this.#connection.forgetToken();
      void this.#retry(watchId);
    } else if (created && watch.isInterrupted) {
      watch.isInterrupted = false;
      watch.listener.missed();
    }
    for (const { type, kv } of events) {
      if (!this.#watches.has(watchId)) return;
      watch.listener.changed(kv, type === 'DELETE');
    }
  }

  async #lost(stream: Stream<'watch'>): Promise<void> {
    if (stream !== this.#stream) return;
    this.#end(stream);
    await this.#connection.check();
    await this.#retry();
  }

  #end(stream: Stream<'watch'> | undefined): void {
    this.#stream = undefined;
    // Ending it is no news.
    stream?.removeAllListeners('end');
    stream?.cancel();
    for (const watch of this.#watches.values()) watch.isInterrupted = true;
  }

  /** One watch, or all of them in a new stream. */
  async #retry(id?: number): Promise<void> {
    const delay = backoff(this.#failures++, 50, 1000, Math.random);
    await new Promise((resolve) => setTimeout(resolve, delay).unref());
    if (id === undefined) return this.open();
    const watch = this.#watches.get(id);
    if (watch && this.#stream) this.#begin(watch);
  }
}
