// Not a lock: lets everybody in. Proves that the check for overlapping holds finds them.
import { setImmediate } from 'node:timers/promises';

export const kind = 'control';
export const commands = [];
export const contestants = [{ name: 'no-lock', only: [] }];

export async function open() {
  return {
    async acquire() {
      await setImmediate();
      return async () => {};
    },
    close() {},
  };
}
