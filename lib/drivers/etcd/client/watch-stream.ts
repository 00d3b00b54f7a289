import type { Metadata } from '@grpc/grpc-js';
import type { Channel, Stream } from './channel.js';
import type { Opened } from './connection.js';
import type { KeyValue, WatchCreateRequest, WatchResponse } from './messages.js';

export interface Watch {
  readonly request: WatchCreateRequest;
  readonly listener: WatchListener;
  /** The watch was interrupted. Changes since then are unknown. */
  isInterrupted: boolean;
  hasEnded: boolean;
  /** Failed attempts to begin since the watch began last. */
  refusals: number;
}

export interface WatchStreamListener {
  /** The server sent something. */
  heard(): void;
  /** The server or the connection ended the stream; `cancel` never does. */
  ended(error: Error | undefined): void;
  /** The server does not let this watch begin. */
  refused(watch: Watch): void;
  /** The server ended this watch, for example after a compaction. */
  interrupted(watch: Watch): void;
}

/** Far above the small ids that a proxy of etcd gives. */
const FIRST_ID = 2 ** 40;

/**
 * The watches of one stream:
 *
 * 1. etcd takes the ids that this driver proposes, and refuses some requests without an id.
 * 2. The proxy of etcd ignores proposed ids and chooses its own (etcd-io/etcd#12819).
 * 3. Both answer the requests in order. So the first request waits for its answer, which shows whether ids are taken.
 *    Behind a proxy each request waits for the answer to the one before.
 */
export class WatchStream {
  readonly channel: Channel;
  readonly metadata: Metadata;
  readonly #stream: Stream<'watch'>;
  readonly #listener: WatchStreamListener;
  readonly #begun = new Map<number, Watch>();
  readonly #ids = new Map<Watch, number>();
  readonly #unsent: Watch[] = [];
  readonly #unanswered: { readonly id: number; readonly watch: Watch }[] = [];
  #lastId = FIRST_ID;
  #takesIds = false;

  constructor({ channel, metadata, stream }: Opened<'watch'>, listener: WatchStreamListener) {
    this.channel = channel;
    this.metadata = metadata;
    this.#stream = stream;
    this.#listener = listener;
    stream.on('data', (response) => this.#heard(response));
    stream.on('error', (error) => listener.ended(error));
    stream.on('end', () => listener.ended(undefined));
  }

  begin(watch: Watch): void {
    this.#unsent.push(watch);
    this.#send();
  }

  end(watch: Watch): void {
    // A watch without an answer ends when the answer comes.
    const id = this.#ids.get(watch);
    if (id !== undefined) this.#cancel(id);
  }

  /** Ends the stream without a report. */
  cancel(): void {
    this.#stream.removeAllListeners('end').removeAllListeners('data');
    this.#stream.removeAllListeners('error').on('error', () => undefined);
    this.#stream.cancel();
  }

  #send(): void {
    while (this.#unsent.length > 0 && (this.#takesIds || this.#unanswered.length === 0)) {
      const watch = this.#unsent.shift()!;
      if (watch.hasEnded) continue;
      const id = ++this.#lastId;
      const startRevision = watch.isInterrupted ? undefined : watch.request.startRevision;
      this.#unanswered.push({ id, watch });
      this.#stream.write({ createRequest: { ...watch.request, startRevision, watchId: id } });
    }
  }

  #heard(response: WatchResponse): void {
    const { watchId, created, canceled, events } = response;
    this.channel.answered();
    this.#listener.heard();
    if (created) this.#answered(watchId, canceled);
    const watch = this.#begun.get(watchId);
    if (!watch) return;
    if (canceled) {
      this.#forget(watchId);
      watch.isInterrupted = true;
      this.#listener.interrupted(watch);
    }
    for (const { type, kv } of events) {
      if (watch.hasEnded) return;
      watch.listener.changed(kv, type === 'DELETE');
    }
  }

  #answered(id: number, isRefused: boolean): void {
    const named = this.#unanswered.findIndex((request) => request.id === id);
    if (named >= 0) this.#takesIds = true;
    const [request] = this.#unanswered.splice(Math.max(0, named), 1);
    this.#send();
    if (!request) return;
    const { watch } = request;
    if (isRefused) {
      watch.isInterrupted = true;
      if (!watch.hasEnded) this.#listener.refused(watch);
      return;
    }
    this.#begun.set(id, watch);
    this.#ids.set(watch, id);
    if (watch.hasEnded) return this.#cancel(id);
    watch.refusals = 0;
    if (!watch.isInterrupted) return;
    watch.isInterrupted = false;
    watch.listener.missed();
  }

  #cancel(id: number): void {
    this.#forget(id);
    this.#stream.write({ cancelRequest: { watchId: id } });
  }

  #forget(id: number): void {
    const watch = this.#begun.get(id);
    this.#begun.delete(id);
    if (watch) this.#ids.delete(watch);
  }
}

export interface WatchListener {
  /** A key was written, or is gone. */
  changed(kv: KeyValue, isGone: boolean): void;
  /** Changes may have been missed. From now on they are reported again. */
  missed(): void;
}
