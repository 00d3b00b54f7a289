import {
  CurrentLock,
  LeaderOnly,
  LockConfigError,
  OncePerTick,
  OnNewLeader,
  OnStartedLeading,
  OnStoppedLeading,
  WithLock,
} from 'nestjs-dist-lock';
import { describe, expect, it } from 'vitest';

type Decorate = (...args: readonly unknown[]) => unknown;

// As JavaScript, or a cast, writes them.
const withLock = WithLock as unknown as (key?: unknown, options?: unknown) => Decorate;
const methodDecorators = {
  WithLock: () => withLock('k'),
  LeaderOnly: LeaderOnly as unknown as (options?: unknown) => Decorate,
  OncePerTick: OncePerTick as unknown as (options?: unknown) => Decorate,
  OnStartedLeading: OnStartedLeading as unknown as (options?: unknown) => Decorate,
  OnStoppedLeading: OnStoppedLeading as unknown as (options?: unknown) => Decorate,
  OnNewLeader: OnNewLeader as unknown as (options?: unknown) => Decorate,
};
type Name = keyof typeof methodDecorators;
const names = Object.keys(methodDecorators) as Name[];

function anInstance(): { prototype: object; descriptor: PropertyDescriptor } {
  class Orders {
    async charge(): Promise<void> {}
  }
  return { prototype: Orders.prototype, descriptor: Object.getOwnPropertyDescriptor(Orders.prototype, 'charge')! };
}

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(LockConfigError);
    return (error as Error).message;
  }
  throw new Error('It was accepted.');
}

describe.each(names)('@%s on anything but a method is refused', (name) => {
  const decorate = (...target: readonly unknown[]): string => refusal(() => methodDecorators[name]()(...target));
  class Orders {}

  it.each<[string, readonly unknown[], string]>([
    ['a property', [Orders.prototype, 'field', undefined], 'Orders.field'],
    ['a getter', [Orders.prototype, 'total', { get: () => 1, configurable: true }], 'Orders.total'],
    ['a value', [Orders.prototype, 'count', { value: 5 }], 'Orders.count'],
    ['a static method', [Orders, 'create', { value: () => undefined }], 'Orders.create'],
    ['a parameter', [Orders.prototype, 'charge', 0], 'Orders.charge'],
  ])('%s', (_, target, label) => {
    expect(decorate(...target)).toBe(`@${name} on ${label}: only instance methods can be decorated.`);
  });

  it('a class', () => {
    // The leader's is one for classes, too.
    if (name === 'LeaderOnly') return;
    expect(decorate(Orders)).toBe(`@${name} on class Orders: only instance methods can be decorated.`);
  });

  it('a method under standard decorators', () => {
    const context = { kind: 'method', name: 'charge', static: false };
    expect(decorate(() => undefined, context)).toContain('"experimentalDecorators": true in tsconfig.json');
  });
});

describe('@WithLock', () => {
  const decorate = (...args: [key?: unknown, options?: unknown]): string => {
    const { prototype, descriptor } = anInstance();
    return refusal(() => withLock(...args)(prototype, 'charge', descriptor));
  };

  it.each<[[key?: unknown, options?: unknown], string]>([
    [[], 'the key is of type undefined. Give a template'],
    [[5], 'the key is of type number. Give a template'],
    [[null], 'the key is null. Give a template'],
    [[{}], 'the key is of type object. Give a template'],
    [['k', null], 'options: expected an object'],
    [['k', 'skip'], 'options: expected an object'],
    [['k', 5], 'options: expected an object'],
    [['k', []], 'options: expected an object'],
    [['k', { unavailable: 'never' }], "unavailable: expected 'wait' or 'reject'."],
    [['k', { metadata: { text: 'x'.repeat(5000) } }], 'metadata: 5011 bytes as JSON are more than the 4096'],
  ])('%j is refused', (args, text) => {
    expect(decorate(...args)).toMatch(/^@WithLock on Orders\.charge: /);
    expect(decorate(...args)).toContain(text);
  });
});

describe('options of a decorator that are none', () => {
  it.each(
    names
      .filter((name) => name !== 'WithLock')
      .flatMap((name) => [5, null, true, [], () => 1].map((options) => [name, options] as const)),
  )('@%s(%s) is refused', (name, options) => {
    expect(refusal(() => methodDecorators[name](options))).toMatch(new RegExp(`^@${name}: .*expected`));
  });
});

describe('a decorator that is applied twice', () => {
  const key = (): string => 'k';
  const twice = (...decorators: readonly Decorate[]): (() => void) => {
    const { prototype, descriptor } = anInstance();
    return () => {
      for (const decorate of decorators) decorate(prototype, 'charge', descriptor);
    };
  };

  it.each<[string, readonly [Decorate, Decorate]]>([
    ['WithLock', [withLock('k'), withLock('k')]],
    ['WithLock', [withLock(key), withLock(key)]],
    ['WithLock', [withLock('k'), withLock('k', { otherwise: 'skip' })]],
    ['LeaderOnly', [methodDecorators.LeaderOnly(), methodDecorators.LeaderOnly({ otherwise: 'skip' })]],
    ['OncePerTick', [methodDecorators.OncePerTick(), methodDecorators.OncePerTick({ job: 'x' })]],
  ])('@%s is refused where it does the same', (name, decorators) => {
    expect(refusal(twice(...decorators))).toBe(
      `@${name} on Orders.charge: it is applied twice, which does not work. Remove one.`,
    );
  });

  it.each<[string, readonly [Decorate, Decorate]]>([
    ['two keys', [withLock('a'), withLock('b')]],
    ['two elections', [methodDecorators.LeaderOnly('a'), methodDecorators.LeaderOnly('b')]],
  ])('is accepted with %s', (_, decorators) => {
    expect(twice(...decorators)).not.toThrow();
  });
});

describe('@CurrentLock', () => {
  it.each<[string, readonly unknown[]]>([
    ['a parameter of a constructor', [class {}, undefined, 0]],
    ['a property', [{}, 'field', undefined]],
    ['a method', [{}, 'charge', { value: () => undefined }]],
  ])('on %s is refused', (_, target) => {
    expect(refusal(() => (CurrentLock() as Decorate)(...target))).toMatch(
      /^@CurrentLock: only a parameter of a method/,
    );
  });
});
