import dns from 'node:dns';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockConfigError } from 'nestjs-dist-lock';
import { EtcdDriver, type EtcdTls } from 'nestjs-dist-lock/etcd';
import { afterAll, afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { request } from '../support/engine/engine.js';
import { PrivateCa } from '../support/servers/certificates.js';
import { EtcdCluster } from '../support/servers/etcd-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useEtcd } from '../support/servers/use-etcd.js';
import { useStarted, useTopology } from '../support/servers/use-topology.js';

/** Other systems have one address of the loopback only. */
const onLinux = describe.skipIf(process.platform !== 'linux');
const figures: string[] = [];
afterAll(() => console.log(figures.join('\n')));

/** What the name stands for, until it is changed. */
function resolving(...addresses: string[]): { addresses: string[] } {
  const state = { addresses };
  const lookup = async (): Promise<dns.LookupAddress[]> =>
    state.addresses.map((address) => ({ address, family: 4 as const }));
  vi.spyOn(dns.promises, 'lookup').mockImplementation(lookup as unknown as typeof dns.promises.lookup);
  return state;
}
afterEach(() => {
  vi.restoreAllMocks();
});

/** Makes a member reachable at another address. */
class Door {
  readonly #sockets = new Set<Socket>();
  #isSilent = false;
  #server!: Server;

  static async open(address: string, target: number, port = 0): Promise<Door> {
    const door = new Door();
    door.#server = createServer((client) => {
      const server = connect(target, '127.0.0.1');
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        door.#sockets.add(from);
        from.on('error', () => undefined).on('close', () => to.destroy());
        from.on('data', (chunk) => void (door.#isSilent || to.write(chunk)));
      }
    }).listen(port, address);
    await once(door.#server, 'listening');
    return door;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections stay open and hear nothing. */
  silence(): void {
    this.#isSilent = true;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

onLinux('one name for all members', () => {
  const etcd = useEtcd({ members: 3 });
  const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];

  /** Each member at an address of its own, with one port. */
  async function doors(): Promise<{ host: string; doors: Door[] }> {
    for (;;) {
      const first = await Door.open(addresses[0]!, etcd.cluster.members[0]!.clientPort);
      const others = await Promise.allSettled(
        [1, 2].map((index) => Door.open(addresses[index]!, etcd.cluster.members[index]!.clientPort, first.port)),
      );
      const opened = [first, ...others.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))];
      const close = (): void => opened.forEach((door) => door.close());
      if (opened.length < 3) {
        close();
        continue;
      }
      etcd.closing.unshift(close);
      return { host: `etcd.example:${first.port}`, doors: opened };
    }
  }

  async function stall(stalled: number, first: number, known: string[]) {
    const { host } = await doors();
    resolving(...known);
    vi.spyOn(Math, 'random').mockReturnValueOnce(first / 3);
    const engine = etcd.engine('a', [host]);
    const kept = await engine.manager.acquire(request({ ttl: 3000 }));
    await engine.event('renewed');
    etcd.cluster.members[stalled]!.pause();
    const at = performance.now();
    const other = await engine.manager
      .acquire(request({ key: 'x', storeKey: 'test:l:x', ttl: 3000, limit: { wait: 8000 } }))
      .then((lock) => lock.release().then(() => performance.now() - at))
      .catch(() => Infinity);
    await sleep(Math.max(0, 4000 - (performance.now() - at)));
    return { took: other, isHeld: kept.held };
  }

  it.each([0, 1, 2])('member %i is stalled: its locks are kept, and new ones granted', async (stalled) => {
    const { took, isHeld } = await stall(stalled, 0, addresses);
    figures.push(
      `etcd behind one name, member ${stalled} of 3 stalled, the first in use: a lock after ${Math.round(took)} ms`,
    );
    expect(isHeld).toBe(true);
    // One call that is not answered, and what an election of etcd takes where the leader is stalled.
    expect(took).toBeLessThan(4000);
  });

  it('control: with one of its addresses alone the lock is lost', async () => {
    const { isHeld } = await stall(0, 0, addresses.slice(0, 1));
    expect(isHeld).toBe(false);
  });

  it.each([
    { name: 'is refused', end: (door: Door) => door.close() },
    { name: 'is silent', end: (door: Door) => door.silence() },
  ])('a name whose address changes, and the former one $name', async ({ name, end }) => {
    const { host, doors: opened } = await doors();
    const state = resolving(addresses[0]!);
    const engine = etcd.engine('a', [host]);
    const kept = await engine.manager.acquire(request({ ttl: 4000 }));
    await engine.event('renewed');
    state.addresses = [addresses[1]!];
    const at = performance.now();
    end(opened[0]!);
    const other = await engine.manager.acquire(
      request({ key: 'x', storeKey: 'test:l:x', ttl: 4000, limit: { wait: 10_000 } }),
    );
    figures.push(
      `etcd behind a name whose address changes, the former ${name}: ${Math.round(performance.now() - at)} ms`,
    );
    expect(performance.now() - at).toBeLessThan(4000);
    await other.release();
    await sleep(Math.max(0, 5000 - (performance.now() - at)));
    expect(kept.held).toBe(true);
  });
});

describe('certificates', () => {
  const ca = useStarted(
    () => new PrivateCa(),
    (authority) => authority.remove(),
  );
  const cluster = useTopology(() =>
    EtcdCluster.start({ tls: { ca: ca.path, ...ca.issue('server', 'DNS:etcd.example') } }),
  );
  const proxy = useStarted(
    () => TcpProxy.start(cluster.members[0]!.clientPort),
    (opened) => opened.close(),
  );
  const tlsOf = (name: string, days?: number): EtcdTls => {
    const { cert, key } = ca.issue(name, 'DNS:client.example', days);
    return { ca: ca.ca, cert: readFileSync(cert), key: readFileSync(key) };
  };

  function open(host: string, tls: EtcdTls | (() => EtcdTls | Promise<EtcdTls>)) {
    const driver = new EtcdDriver({ hosts: [`${host}:${proxy.port}`], tls });
    const events: string[] = [];
    const listener = ({ type }: { type: string }): void => void events.push(type);
    onTestFinished(() => driver.close(listener));
    return { driver, events, connected: driver.connect(listener) };
  }

  it('are checked against the name, whatever its address', async () => {
    resolving('127.0.0.1');
    await open('etcd.example', tlsOf('one')).connected;
    const { connected } = open('other.example', tlsOf('two'));
    await expect(connected).rejects.toThrow(LockConfigError);
    await expect(connected).rejects.toThrow(/etcd at other\.example:\d+ \(127\.0\.0\.1\): .*altnames.* — Check `tls`/);
  });

  it('are asked for at each connection where a function gives them', async () => {
    resolving('127.0.0.1');
    const tls = vi.fn(async () => tlsOf('renewed'));
    const { driver, connected } = open('etcd.example', tls);
    await connected;
    expect(tls).toHaveBeenCalledTimes(1);
    await driver.inspect('test:l:k');
    expect(tls).toHaveBeenCalledTimes(1);
    proxy.resetAll();
    await vi.waitFor(() => driver.inspect('test:l:k'), 5000);
    expect(tls.mock.calls.length).toBeGreaterThan(1);
  });

  it('that are refused are tried again where a function gives them, and those that fit serve', async () => {
    resolving('127.0.0.1');
    const stranger = new PrivateCa('Another CA');
    onTestFinished(() => stranger.remove());
    let tls: EtcdTls = { ...tlsOf('early'), ca: stranger.ca };
    const { events, connected } = open('etcd.example', () => tls);
    await expect(connected).rejects.toMatchObject({ code: 'DRIVER_UNAVAILABLE', sent: false });
    tls = tlsOf('late');
    await vi.waitFor(() => expect(events).toContain('up'), 5000);
  });

  it('control: those that were refused as a value are refused for good', async () => {
    resolving('127.0.0.1');
    const stranger = new PrivateCa('Another CA');
    onTestFinished(() => stranger.remove());
    await expect(open('etcd.example', { ...tlsOf('fixed'), ca: stranger.ca }).connected).rejects.toThrow(
      LockConfigError,
    );
  });
});
