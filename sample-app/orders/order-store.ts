export interface Charge {
  /** The replica that charged. */
  readonly by: string;
  readonly fencingToken: number;
}

export interface Order {
  readonly charges: readonly Charge[];
  /** The most callers that were inside `charge` at once. */
  readonly mostInside: number;
}

/** The orders, shared by all replicas. */
export abstract class OrderStore {
  abstract find(id: string): Promise<Order>;

  /** @throws StaleTokenError when a charge with a higher fencing token was saved: another holder has the lock now */
  abstract save(id: string, charge: Charge): Promise<void>;

  /** Counts a caller as inside until the result is disposed. The count shows that the lock keeps others out. */
  abstract enter(id: string): Promise<AsyncDisposable>;

  abstract close(): Promise<void>;
}

export class StaleTokenError extends Error {
  constructor(id: string, { fencingToken }: Charge) {
    super(`Order ${id}: fencing token ${fencingToken} is older than one that was seen already.`);
  }
}
