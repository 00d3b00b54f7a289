import { LockConfigError } from 'nestjs-dist-lock';
import { describe, expect, it } from 'vitest';
import { ClockStep } from '../../../../../lib/drivers/redis/checks/clock-step.js';
import {
  evictionWarning,
  parseInfo,
  persistenceWarning,
  refuseOldVersion,
} from '../../../../../lib/drivers/redis/checks/server-info.js';
import { ManualClock } from '../../../../../lib/testing/manual-clock.js';

const info = (...lines: string[]) => parseInfo(['# Server', ...lines, ''].join('\r\n'));

describe('the version of a server', () => {
  it.each([
    ['Redis 6.2', ['redis_version:6.2.0']],
    ['Redis 7.0', ['redis_version:7.0.15']],
    ['Redis 8', ['redis_version:8.2.1']],
    ['Redis 10', ['redis_version:10.0.0']],
    ['Valkey 7.2', ['redis_version:7.2.4', 'server_name:valkey', 'valkey_version:7.2.5']],
    ['Valkey 8', ['redis_version:7.2.4', 'server_name:valkey', 'valkey_version:8.0.1']],
    ['a development version', ['redis_version:255.255.255']],
    ['another one, which tells none', ['server_name:another']],
  ])('%s is supported', (_, lines) => {
    expect(refuseOldVersion(info(...lines), 'h:1')).toBeUndefined();
  });

  it.each(['6.0.16', '5.0.7', '2.8.24'])('%s is not', (version) => {
    const refusal = refuseOldVersion(info(`redis_version:${version}`), 'h:1');
    expect(refusal).toBeInstanceOf(LockConfigError);
    expect(refusal!.message).toBe(
      `Redis at h:1 is version ${version}; RedisDriver needs Redis 6.2 or later, or Valkey. Upgrade the server.`,
    );
  });
});

describe('eviction', () => {
  it.each([
    ['noeviction', false],
    ['allkeys-lru', true],
    ['volatile-ttl', true],
  ])('by %s: warning %s', (policy, warns) => {
    expect(evictionWarning(info(`maxmemory_policy:${policy}`), 'h:1') !== undefined).toBe(warns);
  });

  it('that is not told is not warned of', () => {
    expect(evictionWarning(info(), 'h:1')).toBeUndefined();
  });
});

describe('persistence', () => {
  const unsaved = (hours: number, changes = 1, lastSave = -1): string[] => [
    'aof_enabled:0',
    `server_time_usec:${(1_000_000 + hours * 3600) * 1_000_000}`,
    'rdb_last_save_time:1000000',
    `rdb_last_bgsave_time_sec:${lastSave}`,
    `rdb_changes_since_last_save:${changes}`,
  ];

  it.each<[string, string[], boolean | undefined, boolean]>([
    ['an AOF', ['aof_enabled:1'], false, false],
    ['RDB files', ['aof_enabled:0'], true, false],
    ['neither', ['aof_enabled:0'], false, true],
    ['a server that tells nothing', [], undefined, false],
    ['a server that is young', unsaved(0.5), undefined, false],
    ['one without a change', unsaved(5, 0), undefined, false],
    ['one that has saved before', unsaved(5, 1, 0), undefined, false],
    ['one that should have saved long ago', unsaved(5), undefined, true],
  ])('%s', (_, lines, isSaved, warns) => {
    expect(persistenceWarning(info(...lines), isSaved, 'h:1') !== undefined).toBe(warns);
  });
});

describe("a step of a server's clock", () => {
  function looks(...times: [passed: number, server: number, took?: number][]): number[] {
    const clock = new ManualClock();
    const step = new ClockStep(clock);
    return times.map(([passed, server, took = 0]) => {
      clock.block(passed);
      const sentAt = clock.now();
      clock.block(took);
      return step.look(server, sentAt);
    });
  }

  it('is seen at the second look, ahead and back', () => {
    expect(looks([0, 50_000], [10_000, 60_000 + 5000])).toEqual([0, 5000]);
    expect(looks([0, 50_000], [10_000, 60_000 - 5000])).toEqual([0, -5000]);
  });

  it('is told once', () => {
    expect(looks([0, 0], [1000, 6000], [1000, 7000])).toEqual([0, 5000, 0]);
  });

  it('is not mistaken for a slow answer', () => {
    expect(looks([0, 0, 4000], [1000, 5000], [1000, 6000])).toEqual([0, 0, 0]);
    expect(looks([0, 0], [1000, 1000, 4000], [1000, 6000])).toEqual([0, 0, 0]);
  });

  it('is not mistaken for the drift of good clocks', () => {
    const day = 24 * 3600_000;
    expect(looks([0, 0], [day, day + 60_000])).toEqual([0, 0]);
  });
});
