import type { NetConnectOpts, Socket } from 'node:net';
import { detached } from '../../../core/detached.js';
import type { AccessSource } from './access.js';
import { probe } from './port-probe.js';

/** Milliseconds that a connection may take to end; a shorter `disconnectTimeout` of ioredis counts. */
export const TIME_TO_END = 500;

/** A connection that was tried. */
export interface Tried {
  readonly at: NetConnectOpts;
  readonly usesTls: boolean;
  /** Which of several kinds of servers it leads to, for messages: 'sentinel host:port', 'master host:port'. */
  readonly role?: string | undefined;
}

/**
 * What the connectors of one driver share: how to get in, and what was seen of the sockets. ioredis drops many of their
 * errors, those of the connections by which it asks a cluster for its slots, for example.
 */
export class Sockets {
  readonly access: AccessSource;
  readonly #open = new Set<Socket>();
  #latest: Tried | undefined;
  #listener: ((error: Error) => void) | undefined;

  constructor(access: AccessSource) {
    this.access = access;
  }

  /** @param listener told of the errors of sockets and sentinels, and of servers that do not fit */
  hear(listener: (error: Error) => void): void {
    this.#listener = listener;
  }

  report(error: Error): void {
    this.#listener?.(error);
  }

  tried(connection: Tried): void {
    this.#latest = connection;
  }

  opened(stream: Socket): void {
    this.#open.add(stream);
    stream.once('close', () => this.#open.delete(stream));
  }

  /** The driver is closed. ioredis leaves alone the connections by which it asks a cluster for its slots. */
  end(): void {
    const destroyAll = (): void => this.#open.forEach((stream) => stream.destroy());
    detached(() => setTimeout(destroyAll, TIME_TO_END)).unref();
  }

  /** Asks where the latest connection was to lead what it is. @param limit milliseconds */
  async probe(limit: number): Promise<string | undefined> {
    if (!this.#latest) return undefined;
    const { at, usesTls, role } = this.#latest;
    const found = await probe(at, usesTls, limit);
    return found && role ? `${role}: ${found}` : found;
  }
}
