import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DriverEvent, DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { EtcdDriver, type EtcdDriverOptions } from 'nestjs-dist-lock/etcd';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { EtcdCluster, EtcdMember } from '../support/servers/etcd-server.js';
import { useTopology } from '../support/servers/use-topology.js';

const claim = { key: 'billing:l:k', holder: 'h', instance: 'i', ttl: 10_000, metadata: {} };

async function open(options: EtcdDriverOptions): Promise<{ driver: EtcdDriver; events: DriverEvent[] }> {
  const events: DriverEvent[] = [];
  const listener = (event: DriverEvent): void => void events.push(event);
  const driver = new EtcdDriver(options);
  onTestFinished(() => driver.close(listener));
  await driver.connect(listener);
  return { driver, events };
}

describe('a cluster that wants a password', () => {
  const auth = { username: 'billing', password: 'secret' };
  const cluster = useTopology(() => EtcdCluster.start());
  let member: EtcdMember;

  beforeAll(async () => {
    member = cluster.members[0]!;
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    for (const name of ['root', 'billing', 'stranger']) {
      await member.post('auth/user/add', { name, password: auth.password });
    }
    // As in the documentation: everything that begins with 'billing:', and nothing else.
    const perm = { permType: 'READWRITE', key: base64('billing:'), range_end: base64('billing;') };
    for (const name of ['root', 'billing']) await member.post('auth/role/add', { name });
    await member.post('auth/role/grant', { name: 'billing', perm });
    for (const name of ['root', 'billing']) await member.post('auth/user/grant', { user: name, role: name });
    await member.post('auth/enable', {});
  });

  it('serves a user whose role has the prefix of the namespace, in everything that a driver does', async () => {
    const [{ driver }, other] = [
      await open({ hosts: cluster.hosts, auth }),
      await open({ hosts: cluster.hosts, auth }),
    ];
    await driver.acquire(claim, 'try');
    const waiter = { ...claim, holder: 'w', instance: 'w' };
    expect(await other.driver.acquire(waiter, 'queue')).toMatchObject({ status: 'queued' });
    await vi.waitFor(async () => expect(await driver.renew([claim])).toEqual([{ waiters: 1 }]));
    expect(await driver.reserve(claim)).not.toBeNull();
    expect(await driver.inspect(claim.key)).toMatchObject({ holder: 'h' });
    await driver.release(claim, 'w');
    await vi.waitFor(() => expect(other.events.some(({ type }) => type === 'granted')).toBe(true), 3000);
    await other.driver.cancel(waiter);
    await driver.facts.put('billing:m:default', 'a', 'x', 5000);
    expect(await driver.facts.list('billing:m:default')).toEqual(new Map([['a', 'x']]));
    await driver.facts.remove('billing:m:default', 'a');
    expect(await driver.facts.advance('billing:f:', 'job', 1, 'a', 5000)).toBe('mine');
  });

  it('refuses with the repair: another namespace, a user without the role, a wrong password, none at all', async () => {
    const { driver } = await open({ hosts: cluster.hosts, auth });
    await expect(driver.acquire({ ...claim, key: 'other:l:k' }, 'try')).rejects.toThrow(
      /Grant the user read and write/,
    );
    const stranger = await open({ hosts: cluster.hosts, auth: { ...auth, username: 'stranger' } });
    await expect(stranger.driver.acquire(claim, 'try')).rejects.toThrow(LockConfigError);
    const wrong = open({ hosts: cluster.hosts, auth: { ...auth, password: 'wrong' } });
    await expect(wrong).rejects.toThrow(/invalid user ID or password — Check `auth\.username` and/);
    const anonymous = await open({ hosts: cluster.hosts });
    await expect(anonymous.driver.acquire(claim, 'try')).rejects.toThrow(/This cluster needs a login: pass `auth`/);
  });

  it('gives a new token to a driver whose token it has forgotten', async () => {
    const { driver } = await open({ hosts: cluster.hosts, auth });
    const held = { ...claim, holder: 'kept', ttl: 30_000 };
    await driver.acquire(held, 'try');
    // Tokens of the kind that is etcd's default live in the memory of the member.
    await member.kill();
    await member.launch();
    await vi.waitFor(async () => expect(await driver.renew([held])).toEqual([{ waiters: 0 }]), 5000);
    expect(await driver.release(held)).toBe(true);
  });
});

describe('a cluster with TLS that wants client certificates', () => {
  let folder: string;
  let cluster: EtcdCluster;
  const pem = (file: string): string => readFileSync(join(folder, file), 'utf8');
  const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });

  function certificate(name: string, subject: string, extensions: string): void {
    const request = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', subject];
    openssl(...request, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    writeFileSync(join(folder, `${name}.ext`), extensions);
    const signed = ['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
    openssl(...signed, '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.pem`);
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'etcd-tls-'));
    const authority = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    for (const name of ['ca', 'other']) {
      openssl(...authority, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`);
    }
    certificate('server', '/CN=server', 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
    certificate('client', '/CN=client', 'extendedKeyUsage=clientAuth\n');
    const file = (name: string): string => join(folder, name);
    cluster = await EtcdCluster.start({
      tls: { ca: file('ca.pem'), cert: file('server.pem'), key: file('server.key') },
    });
  });
  afterAll(async () => {
    await cluster.stop();
    rmSync(folder, { recursive: true });
  });

  it('serves a driver with the certificates that fit', async () => {
    const tls = { ca: pem('ca.pem'), cert: pem('client.pem'), key: pem('client.key') };
    const { driver } = await open({ hosts: cluster.hosts, tls });
    expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
    expect(await driver.renew([claim])).toEqual([{ waiters: 0 }]);
    expect(await driver.release(claim)).toBe(true);
  });

  it('is not trusted when another authority has signed its certificate: that is said, with the repair', async () => {
    const tls = { ca: pem('other.pem'), cert: pem('client.pem'), key: pem('client.key') };
    const opening = open({ hosts: cluster.hosts, tls });
    await expect(opening).rejects.toThrow(LockConfigError);
    await expect(opening).rejects.toThrow(/certificate.* — Check `tls`/s);
  });

  it('does not serve a driver without a certificate, or without TLS', async () => {
    await expect(open({ hosts: cluster.hosts, tls: { ca: pem('ca.pem') } })).rejects.toThrow(/needs `cert` and `key`/);
    await expect(open({ hosts: cluster.hosts })).rejects.toThrow(DriverUnavailableError);
  });
});

describe('a cluster that is not there', () => {
  it('is unavailable at once, nothing was sent, and is used as soon as it comes', async () => {
    const cluster = await EtcdCluster.start();
    onTestFinished(() => cluster.stop());
    await cluster.members[0]!.kill();
    const events: string[] = [];
    const listener = ({ type }: DriverEvent): void => void events.push(type);
    const driver = new EtcdDriver({ hosts: cluster.hosts });
    onTestFinished(() => driver.close(listener));
    await expect(driver.connect(listener)).rejects.toMatchObject({ code: 'DRIVER_UNAVAILABLE', sent: false });
    await expect(driver.acquire(claim, 'try')).rejects.toMatchObject({ code: 'DRIVER_UNAVAILABLE', sent: false });
    await cluster.members[0]!.launch();
    await vi.waitFor(() => expect(events).toEqual(['up']), 5000);
    expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
  });

  it('costs nothing when only one of its members is gone', async () => {
    const cluster = await EtcdCluster.start();
    onTestFinished(() => cluster.stop());
    const { driver } = await open({ hosts: ['127.0.0.1:1', ...cluster.hosts, '127.0.0.1:2'] });
    expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
    expect(await driver.release(claim)).toBe(true);
  });
});
