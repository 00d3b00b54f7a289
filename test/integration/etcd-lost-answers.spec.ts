import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Claim, type DriverEvent, DriverUnavailableError, type Granted } from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { RequestOp, TxnRequest } from '../../lib/drivers/etcd/client/messages.js';
import { StoreLease } from '../../lib/drivers/etcd/queue/store-lease.js';
import { request } from '../support/engine/engine.js';
import { type EtcdRequest, intercept } from '../support/servers/etcd-requests.js';
import { useEtcd } from '../support/servers/use-etcd.js';

const NAME = 'test:l:k';
const TTL = 30_000;
/** Milliseconds. */
const PATIENCE = 3000;

const etcd = useEtcd();
afterEach(() => {
  vi.restoreAllMocks();
});

interface Client {
  readonly driver: EtcdDriver;
  readonly events: DriverEvent[];
  readonly claim: Claim;
}

async function open(instance: string): Promise<Client> {
  const events: DriverEvent[] = [];
  const listener = (event: DriverEvent): void => void events.push(event);
  const driver = new EtcdDriver({ hosts: etcd.cluster.hosts });
  await driver.connect(listener);
  etcd.closing.push(() => driver.close(listener));
  return { driver, events, claim: { key: NAME, holder: randomUUID(), ttl: TTL, instance, metadata: {} } };
}

interface Step {
  readonly name: string;
  readonly whose: 'waiter' | 'holder';
  readonly is: (request: EtcdRequest) => boolean;
}

function txn(is: (request: { compare: boolean; puts: boolean; reads: boolean; isEnter: boolean }) => boolean) {
  return ({ name, message }: EtcdRequest): boolean => {
    if (name !== 'txn') return false;
    const { compare = [], success = [], failure }: TxnRequest = message;
    const has = (kind: string): boolean => success.some((op: RequestOp) => kind in op);
    return is({
      compare: compare.length > 0,
      puts: has('requestPut'),
      reads: has('requestRange'),
      isEnter: failure !== undefined,
    });
  };
}

/** The requests on the way of a waiter to the lock. */
const waiting: Step[] = [
  { name: 'the lease', whose: 'waiter', is: ({ name }) => name === 'leaseGrant' },
  { name: 'the entry into the queue', whose: 'waiter', is: txn(({ isEnter }) => isEnter) },
  { name: 'the note to the holder', whose: 'waiter', is: txn(({ compare, puts }) => !compare && puts) },
  { name: 'the look after the release', whose: 'waiter', is: txn(({ compare, puts }) => !compare && !puts) },
  {
    name: 'the write that makes it the holder',
    whose: 'waiter',
    is: txn(({ compare, puts, reads }) => compare && puts && reads),
  },
];
const releasing: Step[] = [{ name: 'the release', whose: 'holder', is: ({ name }) => name === 'txn' }];
const handingOver: Step[] = [
  { name: 'the look for a successor', whose: 'holder', is: ({ name }) => name === 'range' },
  { name: 'the hand-over', whose: 'holder', is: ({ name }) => name === 'txn' },
];

interface Loss {
  readonly name: string;
  readonly sent: boolean;
  readonly executed: 'never' | 'at once' | 'late';
}

const losses: Loss[] = [
  { name: 'is not sent', sent: false, executed: 'never' },
  { name: 'does not arrive', sent: true, executed: 'never' },
  { name: 'is executed, and its answer is lost', sent: true, executed: 'at once' },
  { name: 'is executed after the grant', sent: true, executed: 'late' },
];

/** The first such request of a driver fails. */
function lose(driver: EtcdDriver, { is }: Step, { sent, executed }: Loss): { count: number; arrive(): Promise<void> } {
  const late: (() => Promise<unknown>)[] = [];
  const lost = {
    count: 0,
    async arrive() {
      for (const send of late) await send().catch(() => undefined);
    },
  };
  intercept(driver, async (each, send) => {
    if (lost.count > 0 || !is(each)) return send();
    lost.count++;
    if (executed === 'at once') await send();
    if (executed === 'late') late.push(send);
    throw new DriverUnavailableError(sent ? 'No answer in time.' : 'No connection.', { sent });
  });
  return lost;
}

/** As the core does it. */
async function release({ driver, claim }: Client, to: string | undefined): Promise<void> {
  for (let attempt = 1; attempt <= 2; attempt++) {
    const answer = await driver.release(claim, to).catch(() => undefined);
    if (answer !== undefined) return;
  }
  throw new Error('The release failed twice.');
}

/** Asks again where the answer is missing, and when an event says so. It never polls. */
async function follow({ driver, events, claim }: Client, isQueued: () => void): Promise<Granted> {
  for (let attempt = 1; attempt <= 20; attempt++) {
    const heard = events.length;
    const answer = await driver.acquire(claim, 'queue').catch(() => undefined);
    if (answer?.status === 'granted') return answer;
    if (!answer) {
      await sleep(25);
      continue;
    }
    isQueued();
    const event = await vi.waitFor(
      () => {
        const found = events.slice(heard).find(({ type }) => type === 'freed' || type === 'granted');
        return found ?? Promise.reject(new Error('The waiter hears nothing.'));
      },
      { timeout: PATIENCE, interval: 5 },
    );
    if (event.type === 'granted') return event;
  }
  throw new Error('The waiter is not answered.');
}

const rowsOf = (steps: Step[]) => steps.flatMap((step) => losses.map((loss) => ({ step, loss })));

/**
 * One request is lost. The waiter gets the lock without a poll, because its driver says when the store has to be asked. It
 * keeps its place, and a request that arrives late takes and frees nothing.
 */
// Rule S10 of docs/internals/safety.md.
describe.each([
  { way: 'a release', to: undefined, rows: rowsOf([...waiting, ...releasing]) },
  { way: 'a release that names its instance', to: 'waiter', rows: rowsOf([...waiting, ...handingOver]) },
])('a waiter gets the lock by $way, before those behind it, where', ({ to, rows }) => {
  it.each(rows)('$step.name $loss.name', async ({ step, loss }) => {
    const [holder, waiter] = [await open('holder'), await open('waiter')];
    const first = await holder.driver.acquire(holder.claim, 'try');
    if (first.status !== 'granted') throw new Error('The holder holds nothing.');
    const lost = lose(step.whose === 'holder' ? holder.driver : waiter.driver, step, loss);
    const isQueued = vi.fn();
    const following = follow(waiter, isQueued);
    await vi.waitFor(() => expect(isQueued).toHaveBeenCalled(), PATIENCE);
    const behind = etcd.engine('behind');
    const acquiring = behind.manager.acquire(request({ ttl: TTL, limit: { wait: 3 * PATIENCE } }));
    await behind.event('contended');

    await release(holder, to);
    const granted = await following;
    expect(lost.count).toBe(1);
    expect(granted.fencingToken).toBeGreaterThan(first.fencingToken);
    await lost.arrive();
    expect(await holder.driver.inspect(NAME)).toMatchObject({ holder: waiter.claim.holder });
    const [renewed] = await waiter.driver.renew([waiter.claim]);
    expect(renewed).toMatchObject({ waiters: expect.any(Number) });

    expect(await waiter.driver.release(waiter.claim)).toBe(true);
    const last = await acquiring;
    expect(last.fencingToken).toBeGreaterThan(granted.fencingToken);
    await last.release();
    await vi.waitFor(async () => expect(await etcd.stored(`${NAME}/`)).toEqual([]), PATIENCE);
  });
});

it('a waiter whose grant cannot be confirmed is told to ask', async () => {
  const [holder, waiter] = [await open('holder'), await open('waiter')];
  await holder.driver.acquire(holder.claim, 'try');
  expect(await waiter.driver.acquire(waiter.claim, 'queue')).toMatchObject({ status: 'queued' });
  const proven = vi.spyOn(StoreLease.prototype, 'until', 'get').mockReturnValue(0);
  await holder.driver.release(holder.claim);
  await vi.waitFor(() => expect(waiter.events).toContainEqual({ type: 'freed', key: NAME }), PATIENCE);
  proven.mockRestore();
  expect(await waiter.driver.acquire(waiter.claim, 'queue')).toMatchObject({ status: 'granted' });
});
