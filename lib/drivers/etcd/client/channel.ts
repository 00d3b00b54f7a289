import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  connectivityState,
  type Metadata,
} from '@grpc/grpc-js';
import type { Calls, Streams } from './messages.js';
import { methods } from './methods.js';

const channelOptions: ChannelOptions = {
  // A lock request is sent once; what to do about an unknown outcome is decided above.
  'grpc.enable_retries': 0,
  // A lock store is in one's own network, where the proxies of the environment do not lead.
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // etcd closes connections that are pinged more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3000,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
};

export type Stream<S extends keyof Streams> = ClientDuplexStream<Streams[S]['request'], Streams[S]['response']>;

/** One connection to a member. */
export class Channel {
  readonly address: string;
  readonly #client: Client;
  #wasConnected = false;
  #isClosed = false;
  /** When it was answered last, by the monotonic clock. */
  answeredAt = -Infinity;

  constructor(
    address: string,
    target: string,
    name: { readonly host: string; readonly authority: string } | undefined,
    credentials: ChannelCredentials,
  ) {
    this.address = address;
    const named = name && { 'grpc.ssl_target_name_override': name.host, 'grpc.default_authority': name.authority };
    this.#client = new Client(target, credentials, { ...channelOptions, ...named });
  }

  get isConnected(): boolean {
    return this.#state() === connectivityState.READY;
  }

  /** Connected at some time, when we looked. */
  get wasConnected(): boolean {
    return this.#wasConnected;
  }

  get hasFailed(): boolean {
    return this.#state() === connectivityState.TRANSIENT_FAILURE;
  }

  /** Resolves once a request would leave at once, or fail at once. False when neither is so after `timeout`. */
  async settled(timeout: number): Promise<boolean> {
    const deadline = Date.now() + timeout;
    for (;;) {
      const state = this.#state(true);
      if (state === connectivityState.SHUTDOWN) return false;
      if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return true;
      const changed = await new Promise<boolean>((resolve) => {
        this.#client.getChannel().watchConnectivityState(state, deadline, (error) => resolve(!error));
      });
      if (!changed) return false;
    }
  }

  call<C extends keyof Calls>(
    name: C,
    request: Calls[C]['request'],
    metadata: Metadata,
    timeout: number,
  ): Promise<Calls[C]['response']> {
    const { path, requestSerialize, responseDeserialize } = methods[name];
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline: Date.now() + timeout },
        (error, response) => {
          if (error) return reject(error);
          this.answeredAt = performance.now();
          resolve(response as Calls[C]['response']);
        },
      );
    });
  }

  stream<S extends keyof Streams>(name: S, metadata: Metadata): Stream<S> {
    const { path, requestSerialize, responseDeserialize } = methods[name];
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata) as Stream<S>;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#client.close();
  }

  #state(isWanted = false): connectivityState {
    if (this.#isClosed) return connectivityState.SHUTDOWN;
    const state = this.#client.getChannel().getConnectivityState(isWanted);
    if (state === connectivityState.READY) this.#wasConnected = true;
    return state;
  }
}
