// Runs the spec files one after the other in one thread, the fast kinds first, against the sources of the package.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { KindSequencer } from './test/support/runner/sequencer.js';

const source = (name: string, path: string) => ({
  find: new RegExp(`^${name}$`),
  replacement: fileURLToPath(new URL(path, import.meta.url)),
});

export default defineConfig({
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  resolve: {
    alias: [
      // IOREDIS=5: with the older of the two that are supported.
      ...(process.env.IOREDIS === '5' ? [{ find: /^ioredis$/, replacement: 'ioredis5' }] : []),
      source('nestjs-dist-lock', 'lib/index.ts'),
      source('nestjs-dist-lock/redis', 'lib/drivers/redis/index.ts'),
      source('nestjs-dist-lock/etcd', 'lib/drivers/etcd/index.ts'),
      source('nestjs-dist-lock/memory', 'lib/drivers/memory/index.ts'),
      source('nestjs-dist-lock/testing', 'lib/testing/index.ts'),
    ],
  },
  test: {
    include: ['test/**/*.spec.ts'],
    setupFiles: ['test/support/runner/setup.ts'],
    reporters: ['default', './test/support/runner/count-reporter.ts'],
    sequence: { sequencer: KindSequencer },
    pool: 'threads',
    isolate: false,
    fileParallelism: false,
    maxConcurrency: 50,
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
