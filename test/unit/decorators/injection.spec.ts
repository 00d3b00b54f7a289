import { inspect } from 'node:util';
import { forwardRef, Inject, Injectable, Module, type OnModuleInit, Scope } from '@nestjs/common';
import { LazyModuleLoader, ModuleRef, ModulesContainer, NestFactory } from '@nestjs/core';
import {
  currentLock,
  DistLockModule,
  LeaderOnly,
  LockConfigError,
  LockNotBoundError,
  LockService,
  NestedLockError,
  WithLock,
} from 'nestjs-dist-lock';
import { filter } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { closing, compile, start, startError } from '../../support/nest/app.js';

@Injectable()
class Orders {
  readonly name = 'orders';

  @WithLock('order:{0}', { reentrant: true })
  async charge(id: string, by = 'parent'): Promise<string> {
    return `${currentLock()?.key} ${id} ${by} ${this.constructor.name}`;
  }

  @LeaderOnly({ otherwise: 'skip' })
  async report(): Promise<string | undefined> {
    return this.name;
  }
}

@Injectable()
class Inheriting extends Orders {}

@Injectable()
class Overriding extends Orders {
  @WithLock('order:{0}')
  override async charge(id: string): Promise<string> {
    return super.charge(id, 'child');
  }
}

@Injectable()
class Clashing extends Inheriting {
  @WithLock('ledger')
  @LeaderOnly()
  async close(): Promise<void> {}

  @WithLock('order:{0}', { reentrant: false })
  override async charge(id: string): Promise<string> {
    return this.locked(id);
  }

  @WithLock('order:{0}')
  async locked(id: string): Promise<string> {
    return super.charge(id);
  }
}

describe('the services reach an instance', () => {
  it('of a class that inherits decorated methods', async () => {
    const app = await start({ providers: [Orders, Inheriting] });
    expect(await app.get(Inheriting).charge('1')).toBe('order:1 1 parent Inheriting');
    expect(await app.get(Orders).charge('1')).toBe('order:1 1 parent Orders');
  });

  it('of a class that overrides one and calls it, which shares the lock where the base allows it', async () => {
    const app = await start({ providers: [Overriding, Clashing] });
    const acquired: string[] = [];
    app
      .get(LockService)
      .events$.pipe(filter((event) => event.type === 'acquired'))
      .subscribe(({ key }) => acquired.push(key));
    expect(await app.get(Overriding).charge('2')).toBe('order:2 2 child Overriding');
    expect(acquired).toEqual(['order:2']);
    await expect(app.get(Clashing).charge('3')).rejects.toThrow(NestedLockError);
  });

  it('of a class with property injection of its own', async () => {
    @Injectable()
    class Child extends Orders {
      @Inject(Inheriting) readonly other!: Inheriting;
      @WithLock('own') async own(): Promise<string | undefined> {
        return currentLock()?.key;
      }
    }
    const app = await start({ providers: [Inheriting, Child] });
    const child = app.get(Child);
    expect(child.other).toBe(app.get(Inheriting));
    expect(await child.charge('1')).toBe('order:1 1 parent Child');
    expect(await child.own()).toBe('own');
  });

  it('of each request', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Cart extends Orders {}
    const app = await start({ providers: [Cart] });
    const [one, two] = [await app.resolve(Cart), await app.resolve(Cart)];
    expect(one).not.toBe(two);
    expect(await one.charge('1')).toBe('order:1 1 parent Cart');
    expect(await two.charge('2')).toBe('order:2 2 parent Cart');
  });

  it('of each consumer of a transient class', async () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class Cart extends Orders {}
    @Injectable()
    class One {
      constructor(readonly cart: Cart) {}
    }
    @Injectable()
    class Two {
      constructor(readonly cart: Cart) {}
    }
    const app = await start({ providers: [Cart, One, Two] });
    expect(app.get(One).cart).not.toBe(app.get(Two).cart);
    expect(await app.get(One).cart.charge('1')).toBe('order:1 1 parent Cart');
    expect(await app.get(Two).cart.charge('2')).toBe('order:2 2 parent Cart');
    expect(await (await app.resolve(Cart)).charge('3')).toBe('order:3 3 parent Cart');
  });

  it('in a circle of classes', async () => {
    @Injectable()
    class A {
      constructor(@Inject(forwardRef(() => B)) readonly b: { run(): Promise<string | undefined> }) {}
      @WithLock('a') async run(): Promise<string | undefined> {
        return currentLock()?.key;
      }
      @WithLock('around') async around(): Promise<string | undefined> {
        return this.b.run();
      }
    }
    @Injectable()
    class B {
      constructor(@Inject(forwardRef(() => A)) readonly a: A) {}
      @WithLock('b') async run(): Promise<string | undefined> {
        return this.a.run();
      }
    }
    const app = await start({ providers: [A, B] });
    expect(await app.get(A).around()).toBe('a');
  });

  it('of a module class, before the lock module itself is initialised', async () => {
    let key: string | undefined;
    @Module({})
    class Early implements OnModuleInit {
      @WithLock('module')
      async onModuleInit(): Promise<void> {
        key = currentLock()?.key;
      }
    }
    await start({ imports: [Early] });
    expect(key).toBe('module');
  });

  it('of a module that is loaded lazily', async () => {
    @Module({ providers: [Orders] })
    class Lazy {}
    const app = await start({});
    const lazy = await app.get(LazyModuleLoader).load(() => Lazy);
    expect(await lazy.get(Orders).charge('1')).toBe('order:1 1 parent Orders');
  });

  it('that ModuleRef.create() made', async () => {
    const app = await start({});
    const orders = await app.get(ModuleRef).create(Orders);
    expect(await orders.charge('1')).toBe('order:1 1 parent Orders');
    expect(await app.get(ModuleRef).create(Inheriting)).toBeInstanceOf(Inheriting);
  });

  it('that a value or a factory provides, once the application is initialised', async () => {
    const app = await start({
      providers: [
        { provide: 'value', useValue: new Orders() },
        { provide: 'factory', useFactory: async () => new Inheriting() },
        { provide: 'alias', useExisting: 'value' },
      ],
    });
    expect(await app.get<Orders>('value').charge('1')).toBe('order:1 1 parent Orders');
    expect(await app.get<Orders>('factory').charge('1')).toBe('order:1 1 parent Inheriting');
    expect(await app.get<Orders>('alias').charge('1')).toBe('order:1 1 parent Orders');
  });

  it('through a proxy around it', async () => {
    const app = await start({ providers: [Orders] });
    expect(await new Proxy(app.get(Orders), {}).charge('1')).toBe('order:1 1 parent Orders');
  });

  it('where Nest itself puts a proxy around every instance', async () => {
    const instanceDecorator = (instance: unknown): unknown =>
      instance instanceof Orders ? new Proxy(instance, {}) : instance;
    @Module({ imports: [DistLockModule.forRoot()], providers: [Orders] })
    class App {}
    const app = await NestFactory.createApplicationContext(App, { logger: false, instrument: { instanceDecorator } });
    closing(app);
    expect(await app.get(Orders).charge('1')).toBe('order:1 1 parent Orders');
  });
});

describe('an instance that the services cannot reach', () => {
  it('is one that a factory makes per request: its calls reject and name the repair', async () => {
    const app = await start({
      providers: [{ provide: 'factory', scope: Scope.REQUEST, useFactory: () => new Orders() }],
    });
    const orders = await app.resolve<Orders>('factory');
    await expect(orders.charge('1')).rejects.toThrow(LockNotBoundError);
    await expect(orders.charge('1')).rejects.toThrow(/bindDistLock\(\)/);
  });

  it('is a frozen one, with which the application does not start', async () => {
    @Injectable()
    class Frozen extends Orders {
      constructor() {
        super();
        Object.freeze(this);
      }
    }
    const error = new LockConfigError(
      'The LockService cannot be given to this Frozen, whose methods use it: do not freeze or seal it.',
    );
    expect(await startError(compile({ providers: [Frozen] }))).toEqual(error);
    expect(await startError(compile({ providers: [{ provide: 'value', useValue: new Frozen() }] }))).toEqual(error);
  });
});

describe('a value that is none of our business', () => {
  it.each<[string, (name: string | symbol) => unknown]>([
    ['answers to every property, as deep mocks do', () => () => undefined],
    [
      'throws at properties that it does not know, as request-scoped proxies do',
      (name) => {
        if (typeof name === 'symbol') throw new Error('outside of a request');
      },
    ],
  ])('may be a proxy that %s', async (_what, answer) => {
    const proxy = new Proxy({}, { get: (_target, name) => answer(name) });
    await expect(start({ providers: [{ provide: 'proxy', useValue: proxy }] })).resolves.toBeDefined();
  });
});

describe('the services are invisible on an instance', () => {
  it('to JSON, copies, loops, comparisons and the console', async () => {
    const app = await start({ providers: [Orders] });
    const orders = app.get(Orders);
    const byHand = new Orders();
    expect(await orders.charge('1')).toBe('order:1 1 parent Orders');
    expect(JSON.stringify(orders)).toBe('{"name":"orders"}');
    const spread: object = { ...(orders as object) };
    expect(Reflect.ownKeys(spread)).toEqual(['name']);
    expect(Reflect.ownKeys(Object.assign({}, orders))).toEqual(['name']);
    expect(Object.getOwnPropertySymbols(byHand)).toEqual([]);
    expect(inspect(orders)).toBe(inspect(byHand));
    expect(orders).toEqual(byHand);
    expect(orders).toStrictEqual(byHand);
    const looped: string[] = [];
    for (const name in orders) looped.push(name);
    expect(looped).toEqual(['name']);
  });
});

describe('decorated methods', () => {
  it('leave a static dependency tree static', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest extends Orders {}
    @Injectable()
    class UsesOrders {
      constructor(readonly orders: Orders) {}
    }
    const app = await start({ providers: [Orders, UsesOrders, PerRequest] });
    const isStatic = (type: new (...args: never[]) => unknown): boolean =>
      [...app.get(ModulesContainer).values()]
        .flatMap((module) => module.getProviderByKey(type) ?? [])
        .every((wrapper) => wrapper.isDependencyTreeStatic());
    expect([isStatic(Orders), isStatic(UsesOrders), isStatic(PerRequest)]).toEqual([true, true, false]);
  });
});
