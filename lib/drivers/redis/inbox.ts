import { randomUUID } from 'node:crypto';
import type { DriverEvent } from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import type { RedisConnection } from './connection/connection.js';

/** The end of an inbox in a cluster, where its subscriber may be at another node: see scripts/include/alive.lua. */
const ANYWHERE = ':cluster';

/** The channels to which scripts publish for this driver: one for each namespace, with a random id for each driver. */
export class Inbox {
  readonly #connection: RedisConnection;
  readonly #id = randomUUID();
  readonly #channels = new Map<string, string>();

  constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  channelFor(key: string): string {
    const namespace = namespaceOf(key);
    let channel = this.#channels.get(namespace);
    if (channel === undefined) {
      this.#connection.checks.uses(namespace);
      channel = `${namespace}:i:${this.#id}${this.#connection.isCluster ? ANYWHERE : ''}`;
      this.#channels.set(namespace, channel);
    }
    return channel;
  }

  /** Subscribes, where that did not happen before. Undefined: the answer has come. */
  subscribe(channel: string): Promise<unknown> | undefined {
    return this.#connection.listensTo(channel) ? undefined : this.#connection.subscribe(channel, false);
  }

  /** With `replicas.ack` or `failoverQuarantine` a pushed grant is only a reason to ask: perhaps no one but a failing master knows it. */
  trusted(event: DriverEvent): DriverEvent {
    const isUnsure = event.type === 'granted' && !this.#connection.trustsPushes;
    return isUnsure ? { type: 'freed', key: event.key } : event;
  }
}
