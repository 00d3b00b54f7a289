import type { FactStore } from '../../core/fact-store.js';
import { namespaceOf } from '../../core/store-key.js';
import type { RedisConnection } from './connection/connection.js';

/**
 * The facts of a scope are one hash, which lives as long as the fact that lives longest; a number that is moved forward
 * is a key of its own. All of a scope share a slot. TTLs run by the server's clock. A server that loses its data
 * forgets claimed numbers too: what was claimed once can then be claimed again.
 */
export class RedisFactStore implements FactStore {
  readonly #connection: RedisConnection;
  readonly #watchers = new Map<string, Set<() => void>>();

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
    const watchers = this.#watchers.get(channel) ?? new Set();
    const watcher = (): void => changed();
    this.#watchers.set(channel, watchers.add(watcher));
    if (!this.#connection.listensTo(channel)) {
      void this.#connection.subscribe(channel, true).then((arrives) => arrives && watchers.has(watcher) && watcher());
    }
    return () => {
      if (!watchers.delete(watcher) || watchers.size > 0) return;
      this.#watchers.delete(channel);
      this.#connection.unsubscribe(channel);
    };
  }

  async advance(scope: string, id: string, to: number, by: string, ttl: number): Promise<'mine' | 'taken'> {
    const args = [to, by, Math.ceil(ttl)];
    const reply = await this.#connection.run('advance', [numberKey(scope, id)], args, MOVE);
    return reply === 1 ? 'mine' : 'taken';
  }

  /** A message came over this channel. */
  heard(channel: string): void {
    for (const watcher of this.#watchers.get(channel) ?? []) watcher();
  }

  /** What was published while there was no connection is lost: any scope may have changed. */
  mayHaveMissed(): void {
    for (const channel of this.#watchers.keys()) this.heard(channel);
  }
}

const MOVE = { needsReplicas: (moved: unknown): boolean => moved === 1 };

const factsKey = (scope: string): string => `{${scope}}`;

/** The id holds no brace that closes, so that the last one of the key ends the scope. */
const numberKey = (scope: string, id: string): string => `{${scope}}:${id.replaceAll(/[%}]/g, encodeURIComponent)}`;

/** Beside the inboxes, so that a Redis user needs one channel pattern. */
const channelOf = (scope: string): string => `${namespaceOf(scope)}:i:${scope}`;
