import { Module } from '@nestjs/common';
import { DistLockModule, LockConfigError, LockService } from 'nestjs-dist-lock';
import { describe, expect, it } from 'vitest';
import { compileBare, startError } from '../../support/nest/app.js';

type Factory = { useFactory: () => never };

async function refusal(make: () => unknown): Promise<string> {
  const error = await startError(
    // What throws at once, as `forRoot` may, stops the start as well.
    Promise.resolve().then(() => compileBare({ imports: [make() as never] })),
  );
  expect(error).toBeInstanceOf(LockConfigError);
  return error.message;
}

describe('DistLockModule that is imported without options', () => {
  it('names forRoot', async () => {
    expect(await refusal(() => DistLockModule)).toMatch(
      /imported without options\. Import DistLockModule\.forRoot\(\{/,
    );
  });

  it('names it also beside a forRoot elsewhere', async () => {
    @Module({ imports: [DistLockModule] })
    class Feature {}
    const starting = compileBare({ imports: [DistLockModule.forRoot(), Feature] });
    expect((await startError(starting)).message).toMatch(/imported without options.* other modules need no import/);
  });

  it('control: forRoot() is accepted', async () => {
    const app = await compileBare({ imports: [DistLockModule.forRoot()] });
    await app.init();
    expect(app.get(LockService)).toBeInstanceOf(LockService);
  });
});

describe('a factory of forRootAsync()', () => {
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['string', 'redis://:secret@localhost'],
    ['number', 5],
    ['an array', []],
    ['function', () => ({})],
    ['undefined', Promise.resolve(undefined)],
  ])('that returns %s does not start on memory', async (what, value) => {
    const text = await refusal(() => DistLockModule.forRootAsync({ useFactory: () => value } as Factory));
    expect(text).toContain(`the factory of forRootAsync() returned ${what}. Return the options object`);
    expect(text).not.toContain('secret');
  });

  it.each<[string, unknown, RegExp]>([
    ['is missing', {}, /forRootAsync\(\): expected `useFactory`, `useClass` or `useExisting`/],
    ['is replaced by options', { namespace: 'x' }, /Options themselves go to forRoot\(\)/],
    ['is no function', { useFactory: {} }, /expected `useFactory`, `useClass` or `useExisting`/],
    ['comes alone', () => ({}), /forRootAsync\(\): expected an object with useFactory/],
    ['has no options', undefined, /forRootAsync\(\): expected an object with useFactory/],
  ])('%s', async (_, options, message) => {
    expect(await refusal(() => DistLockModule.forRootAsync(options as Factory))).toMatch(message);
  });
});

it.each([null, 'redis://localhost', 5, []])('forRoot(%j) is refused', async (options) => {
  expect(await refusal(() => DistLockModule.forRoot(options as never))).toMatch(/forRoot\(\): expected an object/);
});
