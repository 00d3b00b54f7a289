import { DriverUnavailableError } from '../../../core/errors.js';
import type { EtcdConnection, Opened } from './connection.js';

/** What the server says of a lease that we asked it to keep alive. */
export interface KeptAlive {
  /** Milliseconds; 0 when the lease is gone. */
  readonly ttl: number;
  /** Of the leader that answered, which may have been replaced without its knowledge. */
  readonly term: number;
}

interface Request {
  readonly resolve: (answer: KeptAlive) => void;
  readonly reject: (error: Error) => void;
}

interface Open extends Opened<'keepAlive'> {
  /** What waits for an answer, by lease, in the order of sending. */
  readonly pending: Map<number, Request[]>;
  /** Nothing more is sent on it. */
  isLeft: boolean;
}

/** Keep-alives of all leases over one stream. Each is answered in time or rejects. */
export class KeepAlives {
  readonly #connection: EtcdConnection;
  #open: Promise<Open> | undefined;

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  async send(lease: number, timeout: number): Promise<KeptAlive> {
    this.#open ??= this.#connect().catch((error: unknown) => {
      this.#open = undefined;
      throw error;
    });
    const open = await this.#open;
    return new Promise((resolve, reject) => {
      const sentAt = performance.now();
      const timer = setTimeout(() => {
        const error = unanswered(open);
        this.#connection.failed(open.member, open.channel, sentAt, error);
        this.#end(open, error);
      }, timeout).unref();
      const request: Request = {
        resolve(answer) {
          clearTimeout(timer);
          resolve(answer);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      };
      const requests = open.pending.get(lease);
      if (requests) requests.push(request);
      else open.pending.set(lease, [request]);
      open.stream.write({ ID: lease });
    });
  }

  /** The next keep-alive uses a new stream; those under way have their time. */
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
      channel.answeredAt = performance.now();
      const requests = open.pending.get(ID);
      requests?.shift()?.resolve({ ttl: TTL * 1000, term: header.raftTerm });
      if (requests?.length === 0) open.pending.delete(ID);
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
    for (const request of ended) request.reject(error);
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
