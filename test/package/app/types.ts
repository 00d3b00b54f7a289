// Compiled in every mode of module resolution. An entry whose types are not found would be `any`.
import { type DistLockModule, type Lock, WithLock } from 'nestjs-dist-lock';
import type { MemoryDriver } from 'nestjs-dist-lock/memory';
import type { RedisDriver } from 'nestjs-dist-lock/redis';
import type { ManualClock } from 'nestjs-dist-lock/testing';

type IsAny<T> = 0 extends 1 & T ? true : false;

export const isAny: [
  IsAny<DistLockModule>,
  IsAny<Lock>,
  IsAny<MemoryDriver>,
  IsAny<RedisDriver>,
  IsAny<ConstructorParameters<typeof RedisDriver>[0]>,
  IsAny<ManualClock>,
] = [false, false, false, false, false, false];

export class Checked {
  // @ts-expect-error the method is not async
  @WithLock('key')
  notAsync(): void {}

  // @ts-expect-error the key function wants a number
  @WithLock((id: number) => `order:${id}`)
  async misfit(_id: string): Promise<void> {}
}
