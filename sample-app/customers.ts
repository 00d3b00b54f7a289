import { setTimeout as sleep } from 'node:timers/promises';
import type { ChargeResult } from './orders/orders.service.js';
import { clockTime, howMany, print } from './print.js';

type Answer = ChargeResult['status'] | 'failed';

const EVERY = 5000;

/**
 * Every five seconds impatient customers send one order to all replicas at once. The id of the order is the time, so
 * that several processes contend for the same order.
 */
export async function playCustomers(urls: readonly string[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(EVERY - (Date.now() % EVERY), undefined, { signal }).catch(() => {});
    if (!signal.aborted) await chargeEverywhere(clockTime(new Date()).replaceAll(':', ''), urls);
  }
}

async function chargeEverywhere(id: string, urls: readonly string[]): Promise<void> {
  const answers = await Promise.all(urls.map((url) => charge(`${url}/orders/${id}/charge`)));
  const count = (answer: Answer): number => answers.filter((other) => other === answer).length;
  const failed = count('failed') > 0 ? `, ${count('failed')} failed` : '';
  const summary = `${count('charged')} charged, ${count('already-charged')} already charged${failed}`;
  print('customers', 'white', `sent order ${id} to ${howMany(urls.length)}: ${summary}`);
}

async function charge(url: string): Promise<Answer> {
  try {
    // A connection that is kept alive would delay the close of the server.
    const response = await fetch(url, { method: 'POST', headers: { connection: 'close' } });
    return response.ok ? ((await response.json()) as ChargeResult).status : 'failed';
  } catch {
    return 'failed';
  }
}
