import { describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../../../lib/core/clock.js';
import { DriverUnavailableError, LockConfigError } from '../../../../lib/core/errors.js';
import { HEDGE, Polls } from '../../../../lib/drivers/redlock/polls.js';

const down = (sent: boolean): DriverUnavailableError => new DriverUnavailableError('down', { sent });
const polls = new Polls(new SystemClock());

describe('a question to servers', () => {
  it('comes to a verdict without the slowest', async () => {
    const never = new Promise<number>(() => undefined);
    expect(
      await polls.firstQuorum([never, Promise.resolve(1), never, Promise.resolve(2), Promise.resolve(3)], 1000),
    ).toEqual([1, 2, 3]);
  });

  it('counts who does not answer as failed, and says how many were needed', async () => {
    const never = new Promise<number>(() => undefined);
    const error = await polls
      .firstQuorum([never, Promise.resolve(1), Promise.reject(down(false))], 20)
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DriverUnavailableError);
    expect(error).toMatchObject({ sent: true });
    expect(String(error)).toContain('2 of 3 servers did not answer, 2 must: down; no answer within 20 ms');
  });

  it('says that nothing was sent where that is so, and names a configuration that is the only reason', async () => {
    const refuse = async (...errors: Error[]): Promise<unknown> => {
      const calls = errors.map(async (error): Promise<number> => {
        throw error;
      });
      return polls.firstQuorum(calls, 1000).catch((error: unknown) => error);
    };
    expect(await refuse(down(false), down(false), down(false))).toMatchObject({ sent: false });
    expect(await refuse(down(false), down(true), down(false))).toMatchObject({ sent: true });
    const mistake = new LockConfigError('no permission');
    expect(await refuse(mistake, mistake, mistake)).toBe(mistake);
    expect(await refuse(mistake, down(false), mistake)).toBeInstanceOf(DriverUnavailableError);
  });

  it('hears failures that come after the verdict', async () => {
    const rejections = vi.fn<(error: unknown) => void>();
    process.on('unhandledRejection', rejections);
    let failLate!: (error: Error) => void;
    const late = new Promise<number>((_, reject) => (failLate = reject));
    await polls.firstQuorum([Promise.resolve(1), Promise.resolve(2), late], 1000);
    failLate(new Error('late'));
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', rejections);
    expect(rejections).not.toHaveBeenCalled();
  });

  describe('with others that are asked if the first do not suffice', () => {
    const never = new Promise<number>(() => undefined);
    const asking = (first: readonly Promise<number>[]) => {
      const ask = vi.fn(() => [Promise.resolve(9), Promise.resolve(9)]);
      const verdict = polls.ask<number, readonly number[]>({
        first,
        rest: { size: 2, ask },
        timeout: 1000,
        decide: ({ answers }) => (answers.length >= 3 ? [...answers] : undefined),
      });
      return { ask, verdict };
    };

    it('does not ask them when they do', async () => {
      const { ask, verdict } = asking([1, 2, 3].map((answer) => Promise.resolve(answer)));
      expect(await verdict).toEqual([1, 2, 3]);
      await new Promise((resolve) => setTimeout(resolve, HEDGE * 5));
      expect(ask).not.toHaveBeenCalled();
    });

    it('waits for those as long as for the first, whenever it asked them', async () => {
      const slow = new Promise<number>((resolve) => setTimeout(resolve, HEDGE * 20, 9).unref());
      const verdict = polls.ask<number, readonly number[]>({
        first: [Promise.resolve(1), Promise.reject(down(true)), Promise.resolve(3)],
        rest: { size: 2, ask: () => [never, slow] },
        timeout: 10_000,
        decide: ({ answers, failures }) => {
          if (failures.length > 1) throw new Error('too early');
          return answers.length >= 3 ? [...answers] : undefined;
        },
      });
      expect(await verdict).toEqual([1, 3, 9]);
    });

    it.each([
      ['one fails', () => [Promise.resolve(1), Promise.reject(down(true)), Promise.resolve(3)], [1, 3, 9]],
      ['one does not answer', () => [Promise.resolve(1), never, Promise.resolve(3)], [1, 3, 9]],
      ['none answers', () => [never, never, Promise.resolve(3)], [3, 9, 9]],
    ])('asks them, once, when %s', async (_, first, answers) => {
      const { ask, verdict } = asking(first());
      expect(await verdict).toEqual(answers);
      expect(ask).toHaveBeenCalledTimes(1);
    });
  });
});
