import type { NetConnectOpts, Socket } from 'node:net';
import type { Clock } from '../../../core/clock.js';
import type { AccessSource } from './access.js';
import { probe } from './port-probe.js';

/** Milliseconds that a connection may take to end; a shorter `disconnectTimeout` of ioredis counts. */
export const TIME_TO_END = 500;

/** A connection that was tried. */
export interface Tried {
  readonly at: NetConnectOpts;
  readonly usesTls: boolean;
  /** The server that it leads to, for messages: 'sentinel host:port' or 'master host:port'. */
  readonly role?: string | undefined;
}

/**
 * The sockets of one driver: the login that their connectors share, their errors, and the latest attempt. ioredis drops
 * many of these errors, for example those of the connections by which it asks a cluster for its slots.
 */
export class Sockets {
  readonly access: AccessSource;
  readonly clock: Clock;
  readonly #open = new Set<Socket>();
  #latest: Tried | undefined;
  #listener: ((error: Error) => void) | undefined;

  constructor(access: AccessSource, clock: Clock) {
    this.access = access;
    this.clock = clock;
  }

  /** @param listener called with the errors of sockets and sentinels, and of servers that do not fit */
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

  /** The driver is closed. ioredis does not close the connections by which it asks a cluster for its slots. */
  end(): void {
    const destroyAll = (): void => this.#open.forEach((stream) => stream.destroy());
    this.clock.after(TIME_TO_END, destroyAll);
  }

  /** Probes the port of the latest attempt. @param limit milliseconds */
  async probe(limit: number): Promise<string | undefined> {
    if (!this.#latest) return undefined;
    const { at, usesTls, role } = this.#latest;
    const found = await probe(at, usesTls, limit, this.clock);
    return found && role ? `${role}: ${found}` : found;
  }
}
