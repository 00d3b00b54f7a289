/**
 * What the compiler accepts under `@WithLock`, `@LeaderOnly` and the callbacks of an election, and what it refuses. Nothing here runs: `npm run
 * typecheck` fails where a valid form is refused, and where a `@ts-expect-error` expects an error that is not there.
 */
import {
  CurrentLock,
  LeaderOnly,
  type LeaderOnlyOptions,
  type Lock,
  lockKey,
  type LockOtherwise,
  type Member,
  OncePerTick,
  OnNewLeader,
  OnStartedLeading,
  OnStoppedLeading,
  type StartedLeading,
  WithLock,
  type WithLockOptions,
} from 'nestjs-dist-lock';
import type { Observable } from 'rxjs';

interface Order {
  readonly id: string;
  readonly amount: number;
}

declare const order: Order;
declare const numbers: Observable<number>;
declare const anyOtherwise: LockOtherwise;
declare const anyOptions: WithLockOptions;
declare const anyLeaderOptions: LeaderOnlyOptions;

abstract class Accepted {
  readonly tenant = 'a';

  @WithLock('k')
  async method(): Promise<number> {
    return 1;
  }

  @WithLock('k:{0}')
  returnsPromise(_id: string): Promise<void> {
    return Promise.resolve();
  }

  @WithLock('k')
  async generic<T>(value: T): Promise<T> {
    return value;
  }

  async overloaded(value: string): Promise<string>;
  async overloaded(value: number): Promise<string>;
  @WithLock('k')
  async overloaded(value: string | number): Promise<string> {
    return String(value);
  }

  @WithLock('k')
  protected async inSubclasses(): Promise<void> {}

  @WithLock((id: string) => id)
  async fewerArguments(_id: string, _other: number): Promise<void> {}

  @WithLock(({ id }: { id: string }) => lockKey`order:${id}`)
  async widerType(_order: Order): Promise<void> {}

  @WithLock((...ids: string[]) => ids.join())
  async rest(_one: string, _two: string): Promise<void> {}

  @WithLock((id: string, note?: string) => `${id}${note}`)
  async optional(_id: string, _note?: string): Promise<void> {}

  @WithLock(function (this: Accepted, id: string) {
    return `${this.tenant}:${id}`;
  })
  async thisOfTheInstance(_id: string): Promise<void> {}

  @WithLock(() => 'k')
  async withLockParameter(_id: string, @CurrentLock() lock?: Lock): Promise<number | undefined> {
    return lock?.fencingToken;
  }

  @WithLock('k', { otherwise: 'skip' })
  async skipsVoid(): Promise<void> {}

  @WithLock('k', { otherwise: 'skip', ttl: '5s' })
  async skipsUndefined(): Promise<number | undefined> {
    return undefined;
  }

  @WithLock('k', { otherwise: 'skip' })
  async skipsUnknown(): Promise<unknown> {
    return order;
  }

  @WithLock('k', { otherwise: 'reject' })
  async throws(): Promise<Order> {
    return order;
  }

  @WithLock('k', { otherwise: 'wait', wait: 'forever', ttl: 5000, reentrant: true, registration: 'orders' })
  async waits(): Promise<Order> {
    return order;
  }

  @WithLock('k', { ttl: '5s' })
  async waitsByDefault(): Promise<Order> {
    return order;
  }

  @WithLock('k', anyOptions)
  async anyOptions(): Promise<void> {}

  @WithLock('k', { otherwise: anyOtherwise })
  async anyOtherwise(): Promise<void> {}

  @LeaderOnly()
  async leads(_id: string): Promise<number> {
    return 1;
  }

  @LeaderOnly('reports')
  async leadsAnElection(_id: string): Promise<number> {
    return 1;
  }

  @LeaderOnly({ election: 'reports', otherwise: 'forward', timeout: '5s' })
  async forwards(): Promise<number> {
    return 1;
  }

  @LeaderOnly({ otherwise: 'redirect', catchUp: true })
  async redirects(): Promise<number> {
    return 1;
  }

  @OncePerTick()
  async oncePerTick(): Promise<void> {}

  @OncePerTick({ job: 'job', tolerance: '500ms', catchUp: true, registration: 'orders' })
  async oncePerTickMaybe(): Promise<number | undefined> {
    return undefined;
  }

  @LeaderOnly(anyLeaderOptions)
  async anyLeaderOptions(): Promise<void> {}

  @LeaderOnly({ registration: 'orders', otherwise: 'skip' })
  @WithLock('k')
  async leadsUnderLock(): Promise<number | undefined> {
    return 1;
  }
}

@LeaderOnly(anyLeaderOptions)
class AcceptedClass {
  constructor(readonly accepted: Accepted) {}

  sync(): number {
    return 1;
  }
}

@LeaderOnly({ otherwise: 'reject' })
abstract class AcceptedAbstractClass {}

class RefusedByWithLock {
  // @ts-expect-error a method that is not asynchronous cannot wait for a lock
  @WithLock('k')
  sync(): number {
    return 1;
  }

  // @ts-expect-error a method that is not asynchronous cannot wait for a lock
  @WithLock('k')
  returnsNothing(): void {}

  // @ts-expect-error the caller of a method that may be synchronous would not await it
  @WithLock('k')
  maybeSync(now: boolean): number | Promise<number> {
    return now ? 1 : Promise.resolve(1);
  }

  // @ts-expect-error the lock would be released before an Observable emits
  @WithLock('k')
  observable(): Observable<number> {
    return numbers;
  }

  // @ts-expect-error the lock would be released before a generator yields
  @WithLock('k')
  async *generator(): AsyncGenerator<number> {
    yield 1;
  }

  // @ts-expect-error a thenable is no promise
  @WithLock('k')
  thenable(): PromiseLike<number> {
    return Promise.resolve(1);
  }

  // @ts-expect-error an accessor is not a method
  @WithLock('k')
  get accessor(): number {
    return 1;
  }

  // @ts-expect-error a property is not a method
  @WithLock('k')
  property = 1;

  // @ts-expect-error a function in a property is not a method
  @WithLock('k')
  functionProperty = async (): Promise<void> => {};

  // @ts-expect-error the method's parameter is a string
  @WithLock((id: number) => `k:${id}`)
  async otherType(_id: string): Promise<void> {}

  // @ts-expect-error the method has one parameter only
  @WithLock((one: string, two: string) => one + two)
  async moreArguments(_one: string): Promise<void> {}

  // @ts-expect-error the method may be called without the argument
  @WithLock((id: string) => id)
  async optionalArgument(_id?: string): Promise<void> {}

  // @ts-expect-error an Order has no `name`
  @WithLock(({ name }: { name: string }) => name)
  async otherShape(_order: Order): Promise<void> {}

  // @ts-expect-error a key is a string
  @WithLock((id: number) => id)
  async numberKey(_id: number): Promise<void> {}

  // @ts-expect-error a key is there at once
  @WithLock(async (id: string) => id)
  async asyncKey(_id: string): Promise<void> {}

  // @ts-expect-error a key is always a string
  @WithLock((o: { id?: string }) => o.id)
  async maybeKey(_order: { id?: string }): Promise<void> {}

  // @ts-expect-error a key is a string or a function
  @WithLock(5)
  async numberInstead(): Promise<void> {}

  // @ts-expect-error a skipped call returns undefined, which is no number
  @WithLock('k', { otherwise: 'skip' })
  async skipsNumber(): Promise<number> {
    return 1;
  }

  // @ts-expect-error a skipped call returns undefined, which is not null
  @WithLock('k', { otherwise: 'skip' })
  async skipsNull(): Promise<Order | null> {
    return null;
  }

  // @ts-expect-error it may be 'skip', and a skipped call returns undefined
  @WithLock('k', { otherwise: anyOtherwise })
  async skipsPerhaps(): Promise<number> {
    return 1;
  }

  // @ts-expect-error `otherwise` may be 'skip', and a skipped call returns undefined
  @WithLock('k', anyOptions)
  async skipsPerhapsToo(): Promise<number> {
    return 1;
  }

  // @ts-expect-error an unknown option
  @WithLock('k', { timeout: 5 })
  async unknownOption(): Promise<void> {}

  // @ts-expect-error an unknown choice
  @WithLock('k', { otherwise: 'ignore' })
  async unknownChoice(): Promise<void> {}
}

class RefusedByLeaderOnly {
  // @ts-expect-error a method that is not asynchronous cannot be rejected
  @LeaderOnly()
  sync(): number {
    return 1;
  }

  // @ts-expect-error a method that is not asynchronous cannot be rejected
  @LeaderOnly()
  returnsNothing(): void {}

  // @ts-expect-error the caller of a method that may be synchronous would not await it
  @LeaderOnly()
  maybeSync(now: boolean): number | Promise<number> {
    return now ? 1 : Promise.resolve(1);
  }

  // @ts-expect-error a hand-over could not wait for an Observable
  @LeaderOnly()
  observable(): Observable<number> {
    return numbers;
  }

  // @ts-expect-error a hand-over could not wait for a generator
  @LeaderOnly()
  async *generator(): AsyncGenerator<number> {
    yield 1;
  }

  // @ts-expect-error an accessor is not a method
  @LeaderOnly()
  get accessor(): number {
    return 1;
  }

  // @ts-expect-error a property is neither a method nor a class
  @LeaderOnly()
  property = 1;

  // @ts-expect-error an unknown option
  @LeaderOnly({ leader: true })
  async unknownOption(): Promise<void> {}

  // @ts-expect-error an unknown choice
  @LeaderOnly({ otherwise: 'wait' })
  async unknownChoice(): Promise<void> {}

  // @ts-expect-error it is called, with or without options
  @LeaderOnly
  async notCalled(): Promise<void> {}

  // @ts-expect-error a skipped call returns undefined, which is no number
  @LeaderOnly({ otherwise: 'skip' })
  async skipsNumber(): Promise<number> {
    return 1;
  }

  // @ts-expect-error `otherwise` may be 'skip', and a skipped call returns undefined
  @LeaderOnly(anyLeaderOptions)
  async skipsPerhaps(): Promise<number> {
    return 1;
  }
}

class AcceptedCallbacks {
  @OnStartedLeading()
  async started({ term, signal }: StartedLeading): Promise<number> {
    return signal.aborted ? 0 : term.number;
  }

  @OnStoppedLeading('reports')
  stopped(_reason: string): void {}

  @OnNewLeader({ election: 'reports', registration: 'orders' })
  protected follow({ id }: Pick<Member, 'id'>): string {
    return id;
  }

  @OnStartedLeading()
  @OnStoppedLeading()
  @OnNewLeader()
  takesNothing(): void {}
}

class RefusedCallbacks {
  // @ts-expect-error it is called with the term and its signal
  @OnStartedLeading()
  started(_reason: string): void {}

  // @ts-expect-error it is called with the reason alone
  @OnStoppedLeading()
  stopped(_reason: string, _code: number): void {}

  // @ts-expect-error it is called with the member
  @OnNewLeader()
  follow(_leader: { address: string }): void {}

  // @ts-expect-error an unknown option
  @OnNewLeader({ elections: 'reports' })
  unknownOption(): void {}

  // @ts-expect-error a property is no method
  @OnNewLeader()
  property = 1;
}

export type { AcceptedCallbacks, RefusedCallbacks };

class RefusedByOncePerTick {
  // @ts-expect-error a method that is not asynchronous cannot wait for a claim
  @OncePerTick()
  sync(): void {}

  // @ts-expect-error where another instance runs the fire the call returns undefined, which is no number
  @OncePerTick()
  async returnsNumber(): Promise<number> {
    return 1;
  }

  // @ts-expect-error an unknown option
  @OncePerTick({ retry: true })
  async unknownOption(): Promise<void> {}
}

// @ts-expect-error it is for methods
@OncePerTick()
class RefusedClass {}

export type {
  Accepted,
  AcceptedAbstractClass,
  AcceptedClass,
  RefusedByLeaderOnly,
  RefusedByOncePerTick,
  RefusedByWithLock,
  RefusedClass,
};
