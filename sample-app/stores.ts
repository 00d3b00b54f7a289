import type { LockDriver } from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { MemoryOrderStore } from './orders/memory-order-store.js';
import { RedisOrderStore } from './orders/redis-order-store.js';
import type { Settings } from './settings.js';
import type { Stores } from './start-replica.js';

/** The stores that the replicas share. Each replica has connections of its own. */
export class SharedStores {
  readonly #memory = { driver: new MemoryDriver(), orders: new MemoryOrderStore() };

  constructor(private readonly settings: Settings) {}

  /** The name of the store of the locks, for people. */
  get name(): string {
    const { etcdHosts, redisUrl } = this.settings;
    if (etcdHosts.length > 0) return 'etcd';
    return redisUrl ? 'Redis' : 'the memory driver';
  }

  open(): Stores {
    const { redisUrl } = this.settings;
    return { driver: this.#driver(), orders: redisUrl ? new RedisOrderStore(redisUrl) : this.#memory.orders };
  }

  #driver(): LockDriver {
    const { etcdHosts, redisUrl } = this.settings;
    if (etcdHosts.length > 0) return new EtcdDriver({ hosts: etcdHosts });
    return redisUrl ? new RedisDriver({ url: redisUrl }) : this.#memory.driver;
  }
}
