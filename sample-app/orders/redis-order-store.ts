import { Redis } from 'ioredis';
import { type Charge, type Order, OrderStore, StaleTokenError } from './order-store.js';

// The store itself compares the tokens. A holder that lost its lock without noticing cannot overwrite its successor.
const SAVE = `
local highest = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
if tonumber(ARGV[1]) < highest then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('EXPIRE', KEYS[2], 3600)
return 1`;

const ENTER = `
local inside = redis.call('HINCRBY', KEYS[1], 'inside', 1)
local most = tonumber(redis.call('HGET', KEYS[1], 'mostInside') or '0')
if inside > most then redis.call('HSET', KEYS[1], 'mostInside', inside) end
redis.call('EXPIRE', KEYS[1], 3600)`;

/** For replicas that share a Redis server. */
export class RedisOrderStore extends OrderStore {
  readonly #redis: Redis;

  constructor(url: string) {
    super();
    this.#redis = new Redis(url);
    // ioredis reconnects by itself, and the lock module reports that the server is away.
    this.#redis.on('error', () => {});
  }

  async find(id: string): Promise<Order> {
    const [charges, mostInside] = await Promise.all([
      this.#redis.lrange(chargesKey(id), 0, -1),
      this.#redis.hget(orderKey(id), 'mostInside'),
    ]);
    return { charges: charges.map((json) => JSON.parse(json) as Charge), mostInside: Number(mostInside) };
  }

  async save(id: string, charge: Charge): Promise<void> {
    const keys = [orderKey(id), chargesKey(id)];
    const saved = await this.#redis.eval(SAVE, 2, ...keys, charge.fencingToken, JSON.stringify(charge));
    if (saved === 0) throw new StaleTokenError(id, charge);
  }

  async enter(id: string): Promise<AsyncDisposable> {
    await this.#redis.eval(ENTER, 1, orderKey(id));
    return { [Symbol.asyncDispose]: async () => void (await this.#redis.hincrby(orderKey(id), 'inside', -1)) };
  }

  async close(): Promise<void> {
    this.#redis.disconnect();
  }
}

const orderKey = (id: string): string => `sample:order:{${id}}`;
const chargesKey = (id: string): string => `sample:order:{${id}}:charges`;
