/**
 * The result of `task` as a promise, and its error as a rejection: `Promise.try` of later Nodes. A promise is passed on as
 * it is, where an async function that returns one costs three turns of the microtask queue and as many promises.
 */
export function promiseTry<T>(task: () => T | PromiseLike<T>): Promise<T> {
  try {
    return Promise.resolve(task());
  } catch (error) {
    return Promise.reject(error);
  }
}
