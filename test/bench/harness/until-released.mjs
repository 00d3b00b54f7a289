/**
 * Acquire and release as two steps, of a library that holds a lock for the time of a function. Resolves with the
 * release once the lock is held.
 *
 * @param start runs the function that it is given while it holds the lock, and resolves when the lock is released
 */
export async function untilReleased(start) {
  let release;
  const released = new Promise((resolve) => {
    release = resolve;
  });
  let running;
  await new Promise((resolve, reject) => {
    running = start(() => {
      resolve();
      return released;
    });
    running.catch(reject);
  });
  return () => {
    release();
    return running;
  };
}
