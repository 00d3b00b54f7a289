import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  connectivityState,
  type Metadata,
  type MethodDefinition,
} from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import type { Clock } from '../../../core/clock.js';
import { detached } from '../../../core/detached.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import type { Calls, Streams } from './messages.js';
import { etcdProto } from './proto/etcd-proto.generated.js';

const definitions = fromJSON(etcdProto, {
  longs: Number,
  enums: String,
  defaults: true,
}) as unknown as Record<string, Record<string, MethodDefinition<object, object>>>;

const method = (service: string, name: string): MethodDefinition<object, object> =>
  definitions[`etcdserverpb.${service}`]![name]!;

/** Path and encoding of each method. */
const methods: Readonly<Record<keyof Calls | keyof Streams, MethodDefinition<object, object>>> = {
  range: method('KV', 'Range'),
  txn: method('KV', 'Txn'),
  leaseGrant: method('Lease', 'LeaseGrant'),
  leaseRevoke: method('Lease', 'LeaseRevoke'),
  leaseTimeToLive: method('Lease', 'LeaseTimeToLive'),
  keepAlive: method('Lease', 'LeaseKeepAlive'),
  watch: method('Watch', 'Watch'),
  authenticate: method('Auth', 'Authenticate'),
  status: method('Maintenance', 'Status'),
};

const channelOptions: ChannelOptions = {
  // A lock request is sent once. The layers above decide what follows from an unknown outcome.
  'grpc.enable_retries': 0,
  // A lock store is in the own network. The proxies of the environment do not lead there.
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // etcd closes connections on which pings come more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3000,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
};

export type Stream<S extends keyof Streams> = ClientDuplexStream<Streams[S]['request'], Streams[S]['response']>;

/**
 * One connection to a member. It is opened and used outside of the call chains of callers: it would keep their frames
 * for as long as it lives.
 */
export class Channel {
  readonly address: string;
  readonly #client: Client;
  readonly #clock: Clock;
  #wasConnected = false;
  #isClosed = false;
  /** The time of the last answer. */
  #answeredAt = -Infinity;

  constructor(
    address: string,
    target: string,
    name: { readonly host: string; readonly authority: string } | undefined,
    credentials: ChannelCredentials,
    clock: Clock,
  ) {
    this.address = address;
    this.#clock = clock;
    const named = name && { 'grpc.ssl_target_name_override': name.host, 'grpc.default_authority': name.authority };
    this.#client = detached(() => new Client(target, credentials, { ...channelOptions, ...named }));
  }

  get isConnected(): boolean {
    return this.#state() === connectivityState.READY;
  }

  /** True if the channel was connected at an earlier look at its state. */
  get wasConnected(): boolean {
    return this.#wasConnected;
  }

  get hasFailed(): boolean {
    return this.#state() === connectivityState.TRANSIENT_FAILURE;
  }

  /** True if an answer came since `time`. */
  hasAnsweredSince(time: number): boolean {
    return this.#answeredAt >= time;
  }

  /** An answer came, also on a stream. */
  answered(): void {
    this.#answeredAt = this.#clock.now();
  }

  /**
   * Resolves once a request would leave at once, or fail at once.
   *
   * @throws DriverUnavailableError when neither is so after `timeout` milliseconds
   */
  async settled(timeout: number): Promise<void> {
    if (await this.#settled(timeout)) return;
    throw new DriverUnavailableError(
      `etcd at ${this.address}: no connection within ${Math.round(timeout)} ms. Does an etcd listen there, with TLS or ` +
        'without as `hosts` and `tls` say, and may this process reach it?',
      { sent: false },
    );
  }

  async #settled(timeout: number): Promise<boolean> {
    const deadline = this.#clock.wall() + timeout;
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
        { deadline: this.#clock.wall() + timeout },
        (error, response) => {
          if (error) return reject(error);
          this.answered();
          resolve(response as Calls[C]['response']);
        },
      );
    });
  }

  stream<S extends keyof Streams>(name: S, metadata: Metadata): Stream<S> {
    const { path, requestSerialize, responseDeserialize } = methods[name];
    const open = () => this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    return detached(open) as Stream<S>;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#client.close();
  }

  #state(isWanted = false): connectivityState {
    if (this.#isClosed) return connectivityState.SHUTDOWN;
    const channel = this.#client.getChannel();
    // `true` begins to connect.
    const state = isWanted ? detached(() => channel.getConnectivityState(true)) : channel.getConnectivityState(false);
    if (state === connectivityState.READY) this.#wasConnected = true;
    return state;
  }
}
