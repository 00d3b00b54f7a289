import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const HOST = '127.0.0.1';

/** What arrives from one side: bytes, or `null` for the end of its stream. */
type Chunk = Buffer | null;

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** Requests that are kept back. */
  held?: Chunk[];
  /** The black hole swallowed something of it. */
  affected: boolean;
  /** Settles when every reply so far has been passed on, which keeps them in order. */
  replies: Promise<void>;
}

/** A TCP proxy in front of a port of this machine that fails the way networks do, on command and not by chance. */
export class TcpProxy {
  #targets: readonly number[];
  readonly #links = new Set<Link>();
  #listener!: Server;
  #port = 0;
  /** How many connections it has accepted. */
  accepted = 0;
  #silent = false;
  #delay = 0;
  #dropped?: () => void;
  #rewrite?: (reply: string) => string;

  private constructor(target: number) {
    this.#targets = [target];
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    await proxy.accept();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** New connections lead to these ports in turn, the first one next; those that exist stay where they are. */
  leadTo(...ports: readonly number[]): void {
    this.#targets = ports;
  }

  /** Both ways silent, no connection is closed: half open. New connections are accepted and hear nothing. */
  blackhole(): void {
    this.#silent = true;
  }

  /** What was swallowed is lost, and the connections that lost something are reset. */
  heal(): void {
    this.#silent = false;
    for (const link of this.#links) if (link.affected) this.#reset(link);
  }

  /** Resolves when the next reply was swallowed and its connection reset: executed, but the client cannot know. */
  dropNextReply(): Promise<void> {
    return new Promise((resolve) => (this.#dropped = resolve));
  }

  /** For every reply that arrives from now on; 0 ends it. */
  delayReplies(milliseconds: number): void {
    this.#delay = milliseconds;
  }

  /** From now on; `rewrite` keeps the length. A reply that comes in several pieces is rewritten piece by piece. */
  rewriteReplies(rewrite: ((reply: string) => string) | undefined): void {
    this.#rewrite = rewrite;
  }

  /** Keeps back what the connections of this moment send. Their requests stay in flight when the client goes away. */
  holdRequests(): void {
    for (const link of this.#links) link.held ??= [];
  }

  /** Whether it keeps something back. */
  get holds(): boolean {
    return [...this.#links].some(({ held = [] }) => held.length > 0);
  }

  /** Resolves when the server has begun to answer, or has closed, every connection that got late requests. */
  async releaseRequests(): Promise<void> {
    await Promise.all(
      [...this.#links].map(async (link) => {
        const { server, held = [] } = link;
        link.held = undefined;
        if (held.length === 0 || server.destroyed) return;
        const answered = new Promise((resolve) => server.once('data', resolve).once('close', resolve));
        for (const chunk of held) pass(server, chunk);
        await answered;
      }),
    );
  }

  /** An RST to every client. */
  resetAll(): void {
    for (const link of this.#links) this.#reset(link);
  }

  /** New connections are refused, those that exist are reset. */
  refuse(): void {
    this.#listener.close();
    this.resetAll();
  }

  /** Listens again, on the same port. */
  async accept(): Promise<void> {
    this.#listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#open(client));
    this.#listener.listen(this.#port, HOST);
    await once(this.#listener, 'listening');
    this.#port = (this.#listener.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = this.#listener.listening && once(this.#listener, 'close');
    this.#listener.close();
    for (const { client, server } of this.#links) {
      client.destroy();
      server.destroy();
    }
    await closed;
  }

  #open(client: Socket): void {
    this.accepted++;
    const [target, ...others] = this.#targets;
    this.#targets = [...others, target!];
    const server = connect({ port: target!, host: HOST, allowHalfOpen: true, noDelay: true });
    const link: Link = { client, server, affected: this.#silent, replies: Promise.resolve() };
    this.#links.add(link);
    watch(client, (chunk) => this.#request(link, chunk));
    watch(server, (chunk) => this.#reply(link, chunk));
    for (const socket of [client, server]) {
      socket.once('close', () => client.destroyed && server.destroyed && this.#links.delete(link));
    }
  }

  #request(link: Link, chunk: Chunk): void {
    if (link.held) link.held.push(chunk);
    else if (!this.#swallow(link)) pass(link.server, chunk);
  }

  #reply(link: Link, chunk: Chunk): void {
    if (this.#swallow(link)) return;
    if (chunk && this.#dropped) {
      this.#reset(link);
      this.#dropped();
      this.#dropped = undefined;
      return;
    }
    link.replies = Promise.all([link.replies, this.#delay && sleep(this.#delay)]).then(() => {
      if (!this.#swallow(link)) pass(link.client, chunk && this.#rewritten(chunk));
    });
  }

  #rewritten(chunk: Buffer): Buffer {
    return this.#rewrite ? Buffer.from(this.#rewrite(chunk.toString('latin1')), 'latin1') : chunk;
  }

  #swallow(link: Link): boolean {
    link.affected ||= this.#silent;
    return this.#silent;
  }

  #reset(link: Link): void {
    link.client.resetAndDestroy();
    if (!link.held?.length) link.server.destroy();
  }
}

/** A reset by the peer is an end like any other here, so that the 'error' which precedes its 'close' tells nothing. */
function watch(socket: Socket, listener: (chunk: Chunk) => void): void {
  socket.on('data', listener).on('error', () => {});
  for (const event of ['end', 'close']) socket.once(event, () => listener(null));
}

function pass(socket: Socket, chunk: Chunk): void {
  if (chunk) socket.write(chunk);
  else socket.end();
}
