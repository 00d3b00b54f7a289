import type { Clock } from '../../../core/clock.js';
import { Deadlines } from '../../../core/deadlines.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import type { Timed } from '../../../core/heap.js';
import type { EtcdConnection, Opened } from './connection.js';

/** The answer to a keep-alive. */
export interface KeptAlive {
  /** Milliseconds; 0 when the lease is gone. */
  readonly ttl: number;
  /** The Raft term of the leader that answered. It may have been replaced without its knowledge. */
  readonly term: number;
}

interface Request extends Timed {
  readonly open: Open;
  readonly sentAt: number;
  readonly resolve: (answer: KeptAlive) => void;
  readonly reject: (error: Error) => void;
}

interface Open extends Opened<'keepAlive'> {
  /** Requests without an answer, by lease, in the order of sending. */
  readonly pending: Map<number, Request[]>;
  /** Nothing more is sent on it. */
  isLeft: boolean;
}

/** Keep-alives of all leases over one stream. Each is answered in time or rejects. All share one timer. */
export class KeepAlives {
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #unanswered: Deadlines<Request>;
  #open: Promise<Open> | undefined;

  constructor(connection: EtcdConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
    this.#unanswered = new Deadlines<Request>(clock, ({ open, sentAt }) => {
      const error = unanswered(open);
      this.#connection.failed(open.member, open.channel, sentAt, error);
      this.#end(open, error);
    });
  }

  async send(lease: number, timeout: number): Promise<KeptAlive> {
    this.#open ??= this.#connect().catch((error: unknown) => {
      this.#open = undefined;
      throw error;
    });
    const open = await this.#open;
    return new Promise((resolve, reject) => {
      const sentAt = this.#clock.now();
      const request: Request = { open, sentAt, deadline: sentAt + timeout, place: undefined, resolve, reject };
      this.#unanswered.add(request, sentAt);
      const requests = open.pending.get(lease);
      if (requests) requests.push(request);
      else open.pending.set(lease, [request]);
      open.stream.write({ ID: lease });
    });
  }

  /** The next keep-alive uses a new stream. Those that are under way keep their time. */
  move(): void {
    const former = this.#open;
    this.#open = undefined;
    void former?.then(
      (open) => {
        open.isLeft = true;
        cancelUnused(open);
      },
      () => undefined,
    );
  }

  async #connect(): Promise<Open> {
    const opened = await this.#connection.stream('keepAlive');
    const open: Open = { ...opened, pending: new Map(), isLeft: false };
    const { channel, stream } = open;
    stream.on('data', ({ ID, TTL, header }) => {
      channel.answered();
      const requests = open.pending.get(ID);
      const request = requests?.shift();
      if (requests?.length === 0) open.pending.delete(ID);
      if (request) {
        this.#unanswered.remove(request);
        request.resolve({ ttl: TTL * 1000, term: header.raftTerm });
      }
      cancelUnused(open);
    });
    stream.on('error', (error) => {
      void this.#failed(open, error);
    });
    stream.on('end', () => this.#end(open, unanswered(open)));
    return open;
  }

  async #failed(open: Open, error: Error): Promise<void> {
    this.#end(open, unanswered(open, await this.#connection.streamFailed(open, error)));
  }

  #end(open: Open, error: Error): void {
    const isCurrent = (current: Open): void => {
      if (current === open) this.#open = undefined;
    };
    void this.#open?.then(isCurrent, () => undefined);
    open.stream.cancel();
    const ended = [...open.pending.values()].flat();
    open.pending.clear();
    for (const request of ended) {
      this.#unanswered.remove(request);
      request.reject(error);
    }
  }
}

/** An open stream would keep the process alive. */
function cancelUnused({ isLeft, pending, stream }: Open): void {
  if (isLeft && pending.size === 0) stream.cancel();
}

function unanswered({ channel }: Open, cause?: Error): DriverUnavailableError {
  if (cause instanceof DriverUnavailableError) return cause;
  const message = cause?.message ?? `etcd at ${channel.address} did not answer a keep-alive in time.`;
  return new DriverUnavailableError(message, { sent: true, cause });
}
