import { expect, it, onTestFinished } from 'vitest';
import { EtcdCluster } from '../support/servers/etcd-server.js';
import { ReplicaProcess } from './replica.js';

const LEASE_DURATION = 5000;
const RENEW_DEADLINE = 3000;
const LEADS = /★ leads/;

async function startOn(ETCD_HOSTS: string, line: RegExp): Promise<ReplicaProcess> {
  const replica = await ReplicaProcess.start({ ETCD_HOSTS });
  await replica.waitForLine(line);
  return replica;
}

it(
  'three processes on three members of etcd: SIGTERM hands over at once, kill -9 after the lease',
  { timeout: 60_000 },
  async () => {
    const cluster = await EtcdCluster.start({ members: 3 });
    onTestFinished(() => cluster.stop());
    const hosts = cluster.hosts.join(',');
    const first = await startOn(hosts, LEADS);
    const second = await startOn(hosts, /follows/);
    const stopped = first.kill('SIGTERM');
    expect((await second.waitForLine(LEADS)).at - stopped).toBeLessThan(1000);
    const exit = await first.exit;
    expect(exit).toMatchObject({ code: 0, signal: null });
    expect(exit.at - stopped).toBeLessThan(2000);

    const third = await startOn(hosts, /follows/);
    const killed = second.kill('SIGKILL');
    const { at } = await third.waitForLine(LEADS);
    expect(at - killed).toBeGreaterThan(RENEW_DEADLINE);
    expect(at - killed).toBeLessThan(LEASE_DURATION + 2500);
  },
);
