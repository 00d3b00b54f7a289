// E1 to E3: the same on etcd, against the npm package etcd3.
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';
import { EtcdServer } from '../harness/etcd-server.mjs';
import { tasks as uncontended } from './uncontended.mjs';

const contestants = [contestant('dist-lock', 'ours'), contestant('etcd3', 'peer')];

function contestant(name, kind) {
  const { href: url } = new URL(`../adapters/etcd/${name}.mjs`, import.meta.url);
  return { name, kind, url, settings: {}, commands: [] };
}

/** Milliseconds after which a call counts as failed. */
const PATIENCE = 5000;

const leading = new Map();

export const tasks = {
  ...uncontended,

  /** Takes and gives back one lock without a pause: the longest time between two that succeeded, in milliseconds. */
  async through(lock, { key, ms }) {
    const end = now() + ms;
    let [last, gap, failed] = [now(), 0, 0];
    while (now() < end) {
      const acquiring = lock.acquire(key, 10_000);
      try {
        const release = await within(PATIENCE, acquiring);
        await within(PATIENCE, release());
        gap = Math.max(gap, now() - last);
        last = now();
      } catch {
        failed++;
        // What is granted late must not stand in the way of the next try.
        void acquiring.then((release) => release()).catch(() => {});
        await sleep(5);
      }
    }
    return { gap: Math.max(gap, now() - last), failed };
  },

  /** Resolves when it has the lock; its loss is asked for later. */
  async lead(lock, { key, ttl }) {
    const { lost } = await lock.lead(key, ttl);
    leading.set(key, lost.then(now));
    return now();
  },

  lost: (_lock, { key, patience }) => within(patience, leading.get(key)),
};

function within(ms, promise) {
  const late = sleep(ms, undefined, { ref: false }).then(() => Promise.reject(new Error(`Not within ${ms} ms.`)));
  return Promise.race([promise, late]);
}

/** A way to one member that can be made silent: connections stay open. */
async function proxy(target) {
  let silent = false;
  const sockets = new Set();
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ]) {
      sockets.add(from);
      from.on('data', (chunk) => silent || to.write(chunk));
      from.on('error', () => {}).on('close', () => to.destroy());
    }
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    port: server.address().port,
    silence: () => (silent = true),
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function speed(bench) {
  const workers = new Map();
  for (const one of bench.contestants) workers.set(one, await bench.start(one));
  await bench.rounds((one) => workers.get(one).run('sequential', one, bench.settings), {
    warmUp: true,
  });
}

/** All contestants at once, so that they meet the same fault. */
async function leaderKilled(bench) {
  const { ms, rounds } = bench.settings;
  const workers = new Map();
  for (const one of bench.contestants) workers.set(one, await bench.start(one));
  for (let round = 0; round < rounds; round++) {
    const running = bench.contestants.map(async (one) => {
      const row = await workers.get(one).run('through', one, { key: `e2:${one.name}`, ms });
      bench.result.record(one, round, row);
    });
    await sleep(1000);
    const leader = await bench.server.leader();
    await bench.server.kill(leader);
    await Promise.all(running);
    await bench.server.restart(leader);
    bench.progress(round);
  }
}

async function cutOff(bench) {
  const { ttl, rounds } = bench.settings;
  for (let round = 0; round < rounds; round++) {
    const proxies = await Promise.all(bench.server.ports.map(proxy));
    const through = proxies.map(({ port }) => port).join(',');
    await Promise.all(
      bench.contestants.map(async (one) => {
        const key = `e3:${one.name}:${round}`;
        const holder = await bench.startAt(through, one);
        const successor = await bench.start(one);
        await holder.run('lead', one, { key, ttl });
        const next = successor.run('lead', one, { key, ttl });
        await sleep(1500);
        const at = now();
        for (const { silence } of proxies) silence();
        const granted = (await next) - at;
        const known = await holder.run('lost', one, { key, patience: 20_000 }).then(
          (time) => time - at,
          () => 20_000,
        );
        bench.result.record(one, round, { known, granted, both: Math.max(0, known - granted) });
        await Promise.all([holder.stop(), successor.stop()]);
      }),
    );
    for (const { close } of proxies) close();
    bench.progress(round);
  }
}

const common = { url: import.meta.url, contestants };

export const workloads = [
  {
    ...common,
    name: 'E1',
    title: 'etcd, one member, one caller, one free lock: acquire and release, one after the other',
    columns: [
      { metric: 'p50', title: 'p50 µs' },
      { metric: 'p99', title: 'p99 µs' },
      { metric: 'perSecond', title: 'ops/s' },
      { metric: 'cpu', title: 'Node CPU µs/op' },
    ],
    ratios: [
      { metric: 'p50', to: 'etcd3' },
      { metric: 'cpu', to: 'etcd3' },
    ],
    startServer: () => EtcdServer.start(1),
    settings: { rounds: 20, ms: 500 },
    smoke: { rounds: 2, ms: 200 },
    run: speed,
  },
  {
    ...common,
    name: 'E2',
    title: 'etcd, three members, the leader is killed: the longest time in which nothing succeeds',
    columns: [
      { metric: 'gap', title: 'ms' },
      { metric: 'failed', title: 'failed calls' },
    ],
    ratios: [{ metric: 'gap', to: 'etcd3' }],
    startServer: () => EtcdServer.start(3),
    settings: { rounds: 5, ms: 8000 },
    smoke: { rounds: 1 },
    run: leaderKilled,
  },
  {
    ...common,
    name: 'E3',
    title: 'etcd, three members, a holder is cut off from all of them',
    columns: [
      { metric: 'known', title: 'it knows after ms' },
      { metric: 'granted', title: 'the next one has the lock after ms' },
      { metric: 'both', title: 'two believe for ms' },
    ],
    ratios: [],
    startServer: () => EtcdServer.start(3),
    settings: { rounds: 3, ttl: 2000 },
    smoke: { rounds: 1 },
    run: cutOff,
  },
];
