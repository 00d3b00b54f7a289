import { type Charge, type Order, OrderStore, StaleTokenError } from './order-store.js';

interface Entry {
  readonly charges: Charge[];
  inside: number;
  mostInside: number;
}

/** For replicas in one process. */
export class MemoryOrderStore extends OrderStore {
  readonly #orders = new Map<string, Entry>();

  async find(id: string): Promise<Order> {
    const { charges, mostInside } = this.#entry(id);
    return { charges: [...charges], mostInside };
  }

  async save(id: string, charge: Charge): Promise<void> {
    const { charges } = this.#entry(id);
    if (charges.some(({ fencingToken }) => fencingToken > charge.fencingToken)) throw new StaleTokenError(id, charge);
    charges.push(charge);
  }

  async enter(id: string): Promise<AsyncDisposable> {
    const entry = this.#entry(id);
    entry.inside++;
    entry.mostInside = Math.max(entry.mostInside, entry.inside);
    return { [Symbol.asyncDispose]: async () => void entry.inside-- };
  }

  async close(): Promise<void> {}

  #entry(id: string): Entry {
    const entry = this.#orders.get(id) ?? { charges: [], inside: 0, mostInside: 0 };
    this.#orders.set(id, entry);
    return entry;
  }
}
