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
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // etcd closes connections that are pinged more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3000,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
};

export type Stream<S extends keyof Streams> = ClientDuplexStream<Streams[S]['request'], Streams[S]['response']>;

/** Our connection to one member of the cluster. It connects when it is used, and again after a loss. */
export class Member {
  readonly address: string;
  readonly #client: Client;

  constructor(address: string, credentials: ChannelCredentials) {
    this.address = address;
    this.#client = new Client(address, credentials, channelOptions);
  }

  /**
   * Resolves once a request would leave at once, or fail at once. False when neither is so after `timeout`.
   */
  async settled(timeout: number): Promise<boolean> {
    const channel = this.#client.getChannel();
    const deadline = Date.now() + timeout;
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return true;
      const changed = await new Promise<boolean>((resolve) => {
        channel.watchConnectivityState(state, deadline, (error) => resolve(!error));
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
        (error, response) => (error ? reject(error) : resolve(response as Calls[C]['response'])),
      );
    });
  }

  stream<S extends keyof Streams>(name: S, metadata: Metadata): Stream<S> {
    const { path, requestSerialize, responseDeserialize } = methods[name];
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata) as Stream<S>;
  }

  close(): void {
    this.#client.close();
  }
}
