import type { Clock } from '../../../core/clock.js';
import { LockConfigError } from '../../../core/errors.js';

/** Rejects with `late` when `promise` has not settled after `timeout` milliseconds. */
export function within<T>(clock: Clock, promise: Promise<T>, timeout: number, late: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeout, () => reject(new Error(late)));
    void promise.then(resolve, reject).finally(() => timer.cancel());
  });
}

/**
 * The value of a function among the options.
 *
 * @throws LockConfigError when the value is wrong; Error with the name of the option when there is none in time
 */
export async function supplied<T>(
  option: 'tls' | 'auth',
  clock: Clock,
  value: Promise<T>,
  timeout: number,
): Promise<T> {
  try {
    return await within(clock, value, timeout, 'it gave no value in time');
  } catch (error) {
    if (error instanceof LockConfigError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`EtcdDriver: the function \`${option}\` failed: ${reason}`, { cause: error });
  }
}
