import type { Redis } from 'ioredis';

export class FencedResource {
  constructor(redis: Redis, name: string);
  /** Whether the write was accepted. Without `fenced` a stale one is as well, for negative controls. */
  write(token: number, value: string, fenced?: boolean): Promise<boolean>;
  log(): Promise<number[]>;
}
