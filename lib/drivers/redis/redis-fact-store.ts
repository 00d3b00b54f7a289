import type { FactStore } from '../../core/fact-store.js';
import { namespaceOf } from '../../core/store-key.js';
import { Watchers } from '../common/watchers.js';
import type { RedisConnection } from './connection/connection.js';

/**
 * The facts of a scope are one hash, which lives as long as the fact that lives longest. A number that is moved forward
 * is a key of its own. All keys of a scope share a slot. TTLs run by the clock of the server.
 *
 * Not covered:
 * - a server that loses its data: it forgets claimed numbers, and a number can then be claimed a second time.
 */
export class RedisFactStore implements FactStore {
  readonly #connection: RedisConnection;
  readonly #watchers = new Watchers();

  constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  async put(scope: string, id: string, value: string, ttl: number): Promise<void> {
    await this.#connection.run('put', [factsKey(scope)], [id, value, Math.ceil(ttl), channelOf(scope)]);
  }

  async remove(scope: string, id: string): Promise<void> {
    await this.#connection.run('remove', [factsKey(scope)], [id, channelOf(scope)]);
  }

  async list(scope: string): Promise<ReadonlyMap<string, string>> {
    const reply = (await this.#connection.run('list', [factsKey(scope)], [])) as string[];
    const facts = new Map<string, string>();
    for (let index = 0; index < reply.length; index += 2) facts.set(reply[index]!, reply[index + 1]!);
    return facts;
  }

  watch(scope: string, changed: () => void): () => void {
    const channel = channelOf(scope);
    const watcher = this.#watchers.add(channel, changed);
    if (!this.#connection.listensTo(channel)) {
      void this.#connection.subscribe(channel, true).then((arrives) => arrives && !watcher.hasEnded && changed());
    }
    return () => {
      if (watcher.end()) this.#connection.unsubscribe(channel);
    };
  }

  async advance(scope: string, id: string, to: number, by: string, ttl: number): Promise<'mine' | 'taken'> {
    const args = [to, by, Math.ceil(ttl)];
    const reply = await this.#connection.run('advance', [numberKey(scope, id)], args, MOVE);
    return reply === 1 ? 'mine' : 'taken';
  }

  /** A message came over this channel. */
  heard(channel: string): void {
    this.#watchers.notify(channel);
  }

  /** Messages that were published while there was no connection are lost: any scope may have changed. */
  mayHaveMissed(): void {
    this.#watchers.notifyAll();
  }
}

const MOVE = { needsReplicas: (moved: unknown): boolean => moved === 1 };

const factsKey = (scope: string): string => `{${scope}}`;

/** The encoded id has no closing brace, so the last one of the key ends the scope. */
const numberKey = (scope: string, id: string): string => `{${scope}}:${id.replaceAll(/[%}]/g, encodeURIComponent)}`;

/** Beside the inboxes, so that a Redis user needs one channel pattern. */
const channelOf = (scope: string): string => `${namespaceOf(scope)}:i:${scope}`;
