/**
 * What `task` returns, as a promise, and what it throws, as a rejection: `Promise.try` of later Nodes. A promise is passed
 * on as it is, where an async function that returns one costs three turns of the queue and as many promises.
 */
export function promiseTry<T>(task: () => T | PromiseLike<T>): Promise<T> {
  try {
    return Promise.resolve(task());
  } catch (error) {
    return Promise.reject(error);
  }
}
