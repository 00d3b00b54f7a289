import { bindDistLock, type KeyFunction, lockKey, LockKeyError, WithLock } from 'nestjs-dist-lock';
import { describe, expect, it } from 'vitest';

function decorate(key: string | KeyFunction) {
  class Service {
    @WithLock(key as (...values: unknown[]) => string)
    async run(..._args: unknown[]): Promise<void> {}
  }
  return Service;
}

/** The key that a method under `@WithLock(key)` asks for when it is called with `args` on an object with `fields`. */
async function keyOf(key: string | KeyFunction, args: readonly unknown[] = [], fields: object = {}): Promise<string> {
  const asked: string[] = [];
  const service = bindDistLock(Object.assign(new (decorate(key))(), fields), {
    locks: {
      withLock: async (asksFor, task) => {
        asked.push(asksFor);
        return task(undefined as never);
      },
    },
  });
  await service.run(...args);
  expect(asked).toHaveLength(1);
  return asked[0]!;
}

/** Tagged with an array, as `lockKey` sees it. */
function tagged(...values: unknown[]): string {
  return lockKey(['order:', ...values.map(() => '')] as unknown as TemplateStringsArray, ...values);
}

/** Of the code, or of the arguments of a call. */
function keyError(text: string, statusCode: 400 | 500 = 500): LockKeyError {
  return new LockKeyError(text, statusCode);
}

const USE = 'Use a string that is not empty, a number, a bigint or a boolean.';

/** With the status of the error, 400 for what a request may hold. */
const WRONG_VALUES: [value: unknown, shown: string, statusCode: 400 | 500][] = [
  [undefined, 'undefined', 400],
  [null, 'null', 400],
  ['', 'an empty string', 400],
  [Number.NaN, 'NaN', 400],
  [{ id: 1 }, 'an object', 400],
  [Object.create(null), 'an object', 400],
  [['a'], 'an object', 400],
  [new Date(0), 'an object', 500],
  [Promise.resolve('a'), 'an object', 500],
  [Symbol('s'), 'a symbol', 500],
  [() => 'secret source', 'a function', 500],
  ['a\ud800', 'a string with half a surrogate pair', 400],
  ['\udc00b', 'a string with half a surrogate pair', 400],
];

/** What an attacker, or an innocent user, may put into an id. */
const USER_INPUT = [
  'a:b',
  ':',
  'a{b}c',
  '}',
  '{',
  '{{0}}',
  '{this.secret}',
  '100%',
  '%3A',
  '%253A',
  ' a b ',
  'a\tb\nc\r',
  '\u00a0\u2028\u3000\ufeff',
  'plain-id_1.2',
  'Zoë 北京 😀',
];

describe('a key template', () => {
  it.each([
    ['nightly', [], 'nightly'],
    ['order:{0}', ['42'], 'order:42'],
    ['order:{0.id}', [{ id: 42 }], 'order:42'],
    ['{0}:{1}', ['a', 'b'], 'a:b'],
    ['{1}:{0}:{1}', ['a', 'b'], 'b:a:b'],
    ['{0.customer.address.zip}', [{ customer: { address: { zip: '8001' } } }], '8001'],
    ['{0.0.$id}', [[{ $id: 'first' }]], 'first'],
    ['{0.length}', ['four'], '4'],
    ['{0}', [7n], '7'],
    ['{0}', [false], 'false'],
    ['{0}', [-0], '0'],
    ['{0}', [2 ** 53], '9007199254740992'],
  ])('%s of %o is %s', async (template, args, key) => {
    expect(await keyOf(template, args)).toBe(key);
  });

  it('takes properties of the instance, and of its class', async () => {
    expect(await keyOf('{this.tenant}:{this.settings.region}', [], { tenant: 't1', settings: { region: 'eu' } })).toBe(
      't1:eu',
    );
    expect(await keyOf('{this.constructor.name}')).toBe('Service');
  });

  it.each([
    ['{{0}}', '{0}'],
    ['{{{0}}}', '{x}'],
    ['{{', '{'],
    ['}}', '}'],
    ['a{{b}}c{0}', 'a{b}cx'],
  ])('reads doubled braces as braces: %s', async (template, key) => {
    expect(await keyOf(template, ['x'])).toBe(key);
  });

  it('never reads what a value holds as a placeholder', async () => {
    expect(await keyOf('{0}', ['{this.secret}'], { secret: 's' })).toBe('%7Bthis.secret%7D');
  });

  it.each(WRONG_VALUES)('refuses the value %o', async (value, shown, statusCode) => {
    await expect(keyOf('order:{0.id}', [{ id: value }])).rejects.toThrow(
      keyError(`Lock key template "order:{0.id}": {0.id} is ${shown}. ${USE}`, statusCode),
    );
    await expect(keyOf('{this.tenant}', [], { tenant: value })).rejects.toThrow(
      keyError(`Lock key template "{this.tenant}": {this.tenant} is ${shown}. ${USE}`),
    );
  });

  it('refuses a whole object, and names a path that leads nowhere', async () => {
    await expect(keyOf('order:{0}', [{ id: 1 }])).rejects.toThrow(
      keyError(`Lock key template "order:{0}": {0} is an object. ${USE}`, 400),
    );
    await expect(keyOf('{0.customer.id}', [{}])).rejects.toThrow(
      keyError(`Lock key template "{0.customer.id}": {0.customer.id} is undefined. ${USE}`, 400),
    );
  });

  it('names an argument that the call did not pass', async () => {
    await expect(keyOf('order:{1.id}', ['only one'])).rejects.toThrow(
      keyError(
        `Lock key template "order:{1.id}": {1.id} names an argument that the call did not pass (it passed 1). ${USE}`,
      ),
    );
  });

  it.each(['{}', '{id}', '{0.}', '{.id}', '{0 }', '{-1}', '{0[id]}', '{this id}', '{thisx}'])(
    'is refused where it is written when %s is no placeholder',
    (part) => {
      expect(() => decorate(`order:${part}`)).toThrow(
        keyError(
          `Lock key template "order:${part}": "${part}" is not a placeholder. Use {0}, {0.id} or {this.name}; {{ and }} are braces.`,
        ),
      );
    },
  );

  it.each(['order:{0', 'order:0}', '{0}}', '{{0}'])(
    'is refused where it is written for the lonely brace in %s',
    (template) => {
      expect(() => decorate(template)).toThrow(/^Lock key template ".*": ".*[{}].*" is not a placeholder\./);
    },
  );

  it('is refused when it is empty', () => {
    expect(() => decorate('')).toThrow(keyError('A lock key template must not be empty.'));
  });
});

describe('user input in a key', () => {
  it.each(USER_INPUT)('stays inside its place: %j', async (value) => {
    const key = await keyOf('a:{0}:z', [value]);
    const [first, inner, last, ...rest] = key.split(':');
    expect([first, last, rest]).toEqual(['a', 'z', []]);
    expect(inner).not.toMatch(/[\s{}:]/);
    // Nothing is lost, so two values never share a key.
    expect(decodeURIComponent(inner!)).toBe(value);
  });

  it('cannot move between two places', async () => {
    const keys = await Promise.all([keyOf('{0}:{1}', ['a:b', 'c']), keyOf('{0}:{1}', ['a', 'b:c'])]);
    expect(new Set(keys)).toEqual(new Set(['a%3Ab:c', 'a:b%3Ac']));
  });
});

describe('lockKey', () => {
  it('builds what the template with the same text builds', async () => {
    for (const value of USER_INPUT) {
      expect(lockKey`order:${value}:${7}`).toBe(await keyOf('order:{0}:{1}', [value, 7]));
    }
  });

  it('leaves its own text alone', () => {
    expect(lockKey`a {b}:c%\n`).toBe('a {b}:c%\n');
  });

  it.each(WRONG_VALUES)('refuses the value %o', (value, shown, statusCode) => {
    expect(() => tagged('fine', value)).toThrow(keyError(`lockKey: value 2 is ${shown}. ${USE}`, statusCode));
  });
});

describe('a key function', () => {
  it('gets the arguments of the call, and the instance as this', async () => {
    const key = function (this: { tenant: string }, ...args: unknown[]): string {
      return [this.tenant, ...args].join('/');
    };
    expect(await keyOf(key, ['a', 2], { tenant: 't1' })).toBe('t1/a/2');
  });

  it('decides alone how the key is written', async () => {
    expect(await keyOf(() => 'a b:{c}%')).toBe('a b:{c}%');
  });

  it.each([
    [undefined, 'undefined'],
    [null, 'null'],
    ['', 'an empty string'],
    [5, '5'],
    [Promise.resolve('k'), 'an object'],
  ])('must return a string, not %o', async (result, shown) => {
    await expect(keyOf(() => result as string)).rejects.toThrow(
      keyError(`@WithLock on Service.run: the key function returned ${shown}. Return a string, not empty.`),
    );
  });

  it('that throws rejects the call', async () => {
    const error = new TypeError('no order');
    await expect(
      keyOf(() => {
        throw error;
      }),
    ).rejects.toBe(error);
  });
});
