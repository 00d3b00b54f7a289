import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DriverEvent } from 'nestjs-dist-lock';
import { EtcdDriver, type EtcdDriverOptions } from 'nestjs-dist-lock/etcd';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { EtcdConnection } from '../../lib/drivers/etcd/client/connection.js';
import { EtcdCluster, type EtcdMember } from '../support/servers/etcd-server.js';
import { findEtcdServer } from '../support/servers/find-servers.mjs';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useTopology } from '../support/servers/use-topology.js';

const figures: string[] = [];
afterAll(() => console.log(figures.join('\n')));
afterEach(() => {
  vi.restoreAllMocks();
});

interface Open {
  readonly driver: EtcdDriver;
  readonly events: DriverEvent[];
}

async function open(options: EtcdDriverOptions): Promise<Open> {
  const events: DriverEvent[] = [];
  const listener = (event: DriverEvent): void => void events.push(event);
  const driver = new EtcdDriver(options);
  onTestFinished(() => driver.close(listener));
  await driver.connect(listener);
  return { driver, events };
}

let lastHolder = 0;
const claimOf = (instance: string, key = 'billing:l:k') => ({
  key,
  holder: `h${++lastHolder}`,
  instance,
  ttl: 30_000,
  metadata: {},
});

/**
 * Milliseconds from a release to the push that wakes the waiter, which nothing else does here: nobody polls. Undefined
 * when none came in time.
 */
async function wakeUp(holder: Open, waiter: Open, patience = 3000): Promise<number | undefined> {
  const [held, waiting] = [claimOf('holder'), claimOf('waiter')];
  expect(await holder.driver.acquire(held, 'try')).toMatchObject({ status: 'granted' });
  expect(await waiter.driver.acquire(waiting, 'queue')).toMatchObject({ status: 'queued' });
  // Time for a watch that is refused to be opened anew.
  await sleep(500);
  await waiter.driver.acquire(waiting, 'queue');
  const at = performance.now();
  await holder.driver.release(held);
  const granted = (): void => {
    expect(waiter.events).toContainEqual(expect.objectContaining({ type: 'granted', holder: waiting.holder }));
  };
  const isGranted = await vi.waitFor(granted, { timeout: patience, interval: 2 }).then(
    () => true,
    () => false,
  );
  const took = performance.now() - at;
  await waiter.driver.cancel(waiting);
  return isGranted ? took : undefined;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const perm = { permType: 'READWRITE', key: base64('billing:'), range_end: base64('billing;') };
const auth = { username: 'billing', password: 'secret' };
const root = { name: 'root', password: 'secret' };

async function addUsers(member: EtcdMember): Promise<void> {
  for (const name of ['root', 'billing']) {
    await member.post('auth/user/add', { name, password: auth.password });
    await member.post('auth/role/add', { name });
    await member.post('auth/user/grant', { user: name, role: name });
  }
  await member.post('auth/role/grant', { name: 'billing', perm });
}

async function administrator(member: EtcdMember): Promise<(path: string, body: object) => Promise<unknown>> {
  const { token } = await member.post<{ token: string }>('auth/authenticate', root);
  return (path, body) => member.post(path, body, token);
}

describe('a cluster whose tokens end', () => {
  /** Seconds. */
  const TOKEN_TTL = 2;
  let folder: string;
  let cluster: EtcdCluster;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'etcd-jwt-'));
    const key = (name: string): string => join(folder, name);
    execFileSync('openssl', ['genrsa', '-out', key('private.pem'), '2048'], { stdio: 'pipe' });
    execFileSync('openssl', ['rsa', '-in', key('private.pem'), '-pubout', '-out', key('public.pem')], {
      stdio: 'pipe',
    });
    const token = `jwt,pub-key=${key('public.pem')},priv-key=${key('private.pem')},sign-method=RS256,ttl=${TOKEN_TTL}s`;
    cluster = await EtcdCluster.start({ args: [`--auth-token=${token}`] });
    await addUsers(cluster.members[0]!);
    await cluster.members[0]!.post('auth/enable', {});
  });
  afterAll(async () => {
    await cluster.stop();
    rmSync(folder, { recursive: true });
  });

  async function pastTheEnd(): Promise<[Open, Open]> {
    const options = { hosts: cluster.hosts, auth };
    const pair: [Open, Open] = [await open(options), await open(options)];
    expect(await wakeUp(...pair)).toBeDefined();
    await sleep(1000 * TOKEN_TTL + 500);
    return pair;
  }

  it('wakes waiters by push also after the end of the first one, and the next', async () => {
    const [holder, waiter] = await pastTheEnd();
    const first = await wakeUp(holder, waiter);
    await sleep(1000 * TOKEN_TTL + 500);
    const second = await wakeUp(holder, waiter);
    figures.push(
      `etcd, woken after the end of a token: ${Math.round(first!)} ms, of the next: ${Math.round(second!)} ms`,
    );
    expect(first).toBeLessThan(1000);
    expect(second).toBeLessThan(1000);
  });

  it('control: nobody is woken by one that keeps a stream whose token has ended', async () => {
    const [holder, waiter] = await pastTheEnd();
    vi.spyOn(EtcdConnection.prototype, 'stillTakes').mockResolvedValue(true);
    expect(await wakeUp(holder, waiter, 1500)).toBeUndefined();
  });

  it('renews, reads and writes also after the end of a token', async () => {
    const { driver } = await open({ hosts: cluster.hosts, auth });
    const held = claimOf('a', 'billing:l:kept');
    await driver.acquire(held, 'try');
    await driver.facts.put('billing:m:x', 'a', '1', 30_000);
    for (let round = 0; round < 2; round++) {
      await sleep(1000 * TOKEN_TTL + 500);
      expect(await driver.renew([held])).toEqual([{ waiters: 0 }]);
      await driver.facts.put('billing:m:x', 'a', '1', 30_000);
    }
    expect(await driver.release(held)).toBe(true);
  });
});

describe('a cluster whose users change', () => {
  const cluster = useTopology(() => EtcdCluster.start());
  let member: EtcdMember;
  beforeAll(async () => {
    member = cluster.members[0]!;
    await addUsers(member);
  });
  afterEach(async () => {
    const admin = await administrator(member).catch(() => undefined);
    await admin?.('auth/disable', {});
  });

  it('is served by a driver with `auth` before and after it asks for a password', async () => {
    const options = { hosts: cluster.hosts, auth };
    const [holder, waiter] = [await open(options), await open(options)];
    expect(await wakeUp(holder, waiter)).toBeLessThan(1000);
    const kept = claimOf('a', 'billing:l:kept');
    await holder.driver.acquire(kept, 'try');
    await member.post('auth/enable', {});
    expect(await holder.driver.renew([kept])).toEqual([{ waiters: 0 }]);
    expect(await wakeUp(holder, waiter)).toBeLessThan(1000);
    expect(await holder.driver.release(kept)).toBe(true);
  });

  it('wakes waiters again once a permission that was taken away is given back', async () => {
    await member.post('auth/enable', {});
    const admin = await administrator(member);
    const options = { hosts: cluster.hosts, auth };
    const [holder, waiter] = [await open(options), await open(options)];
    expect(await wakeUp(holder, waiter)).toBeLessThan(1000);
    await admin('auth/role/revoke', { role: 'billing', key: perm.key, range_end: perm.range_end });
    await expect(holder.driver.acquire(claimOf('holder'), 'try')).rejects.toThrow(/Grant the user read and write/);
    await admin('auth/role/grant', { name: 'billing', perm });
    expect(await wakeUp(holder, waiter)).toBeLessThan(1500);
  });

  it('refuses a user that was removed, and serves one that is back', async () => {
    await member.post('auth/enable', {});
    const admin = await administrator(member);
    const [holder, waiter] = [await open({ hosts: cluster.hosts, auth }), await open({ hosts: cluster.hosts, auth })];
    expect(await wakeUp(holder, waiter)).toBeLessThan(1000);
    await admin('auth/user/delete', { name: 'billing' });
    await expect(holder.driver.acquire(claimOf('holder'), 'try')).rejects.toThrow(/Check `auth\.username`/);
    await admin('auth/user/add', { name: 'billing', password: auth.password });
    await admin('auth/user/grant', { user: 'billing', role: 'billing' });
    expect(await wakeUp(holder, waiter)).toBeLessThan(1500);
  });

  it('is served with a password that changes, by a function that is asked for each token', async () => {
    await member.post('auth/enable', {});
    const admin = await administrator(member);
    let password = auth.password;
    const { driver } = await open({ hosts: cluster.hosts, auth: async () => ({ username: 'billing', password }) });
    const kept = claimOf('a', 'billing:l:kept');
    await driver.acquire(kept, 'try');
    await admin('auth/user/changepw', { name: 'billing', password: 'renewed' });
    // Refused for now, not for good: the function may give the new one the next time.
    await expect(driver.renew([kept])).rejects.toMatchObject({ code: 'DRIVER_UNAVAILABLE', sent: false });
    password = 'renewed';
    await vi.waitFor(async () => expect(await driver.renew([kept])).toEqual([{ waiters: 0 }]), 5000);
    expect(await driver.release(kept)).toBe(true);
  });
});

describe('the way to the cluster', () => {
  const cluster = useTopology(() => EtcdCluster.start());

  it.each([
    { name: 'resets its connections', cut: async (proxy: TcpProxy) => proxy.resetAll() },
    {
      name: 'loses what it was given, and is repaired',
      cut: async (proxy: TcpProxy) => {
        proxy.blackhole();
        await sleep(2000);
        proxy.heal();
      },
    },
  ])('$name: waiters are woken by push again', async ({ name, cut }) => {
    const proxy = await TcpProxy.start(cluster.members[0]!.clientPort);
    onTestFinished(() => proxy.close());
    const [holder, waiter] = [await open({ hosts: cluster.hosts }), await open({ hosts: [`127.0.0.1:${proxy.port}`] })];
    expect(await wakeUp(holder, waiter)).toBeLessThan(1000);
    await cut(proxy);
    await vi.waitFor(async () => expect(await waiter.driver.inspect('billing:l:k')).toBeNull(), 10_000);
    const took = await wakeUp(holder, waiter);
    figures.push(`etcd, woken once the way to it ${name}: ${Math.round(took!)} ms`);
    expect(took).toBeLessThan(1500);
  });

  it('leads over a proxy of etcd, which gives watches ids of its own: waiters are woken by push', async () => {
    const [port] = await freePort();
    const address = `127.0.0.1:${port}`;
    const args = ['grpc-proxy', 'start', `--endpoints=${cluster.hosts.join()}`, `--listen-addr=${address}`];
    const proxy = spawn(findEtcdServer()!, args, { stdio: 'ignore' });
    onTestFinished(async () => {
      proxy.kill('SIGKILL');
      await once(proxy, 'exit');
    });
    const [holder, waiter] = await vi.waitFor(
      async () => [await open({ hosts: [address] }), await open({ hosts: [address] })] as const,
      { timeout: 10_000, interval: 100 },
    );
    const times = [];
    for (let round = 0; round < 3; round++) times.push(await wakeUp(holder, waiter));
    figures.push(`etcd, woken through grpc-proxy: ${times.map((time) => Math.round(time ?? NaN)).join(', ')} ms`);
    for (const time of times) expect(time).toBeLessThan(1500);
  });
});

async function freePort(): Promise<number[]> {
  const { createServer } = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await once(server.close(), 'close');
  return [port];
}
