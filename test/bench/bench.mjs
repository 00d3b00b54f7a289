// npm run bench -- [workload…] [--smoke] [--rounds n] [--ms n] [--only contestant,…]; see README.md.
import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadContestants } from './harness/contestants.mjs';
import { installPeers } from './harness/install.mjs';
import { RedisServer } from './harness/redis-server.mjs';
import { runWorkload, takesPart } from './harness/run.mjs';
import { goalsTable, json, markdown, section, thisMachine } from './report.mjs';

const FILES = [
  'uncontended',
  'contention',
  'renewal',
  'fail-over',
  'wake-up',
  'memory',
  'quorum',
  'decorators',
  'etcd',
];

const { positionals: names, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    smoke: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    ms: { type: 'string' },
    only: { type: 'string' },
  },
});

installPeers();
const contestants = await loadContestants();
const plan = choose(await loadWorkloads());
const progress = (text) => process.stderr.write(`${new Date().toISOString().slice(11, 19)}  ${text}\n`);
const load = () => Number(loadavg()[0].toFixed(2));

const report = {
  started: new Date().toISOString(),
  isSmoke: options.smoke,
  machine: thisMachine(await redisVersion()),
  load: [load()],
  results: [],
};
for (const [workload, taking] of plan) {
  const result = await runWorkload(workload, taking, settingsOf(workload), progress);
  report.results.push(result);
  report.load[1] = load();
  console.log(`\n${section(result).join('\n\n')}\n`);
  save();
}
console.log(`## Goals\n\n${goalsTable(report.results)}`);

async function loadWorkloads() {
  const modules = await Promise.all(FILES.map((file) => import(`./workloads/${file}.mjs`)));
  return modules.flatMap((module) => module.workloads);
}

/** The workloads that were asked for and that somebody takes part in, each with these. W4 is also W4b. */
function choose(all) {
  const short = ({ name }) => name.replace(/b$/, '');
  const known = [...new Set(all.map(short))];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`No workload ${unknown.join(', ')}. There are ${known.join(', ')}.`);
  const pairs = all
    .filter((workload) => names.length === 0 || names.includes(short(workload)))
    .map((workload) => [workload, contestantsFor(workload)])
    .filter(([, taking]) => taking.length > 0);
  if (pairs.length > 0) return pairs;
  throw new Error(`--only: expected some of ${contestants.map(({ name }) => name).join(',')}, which take part there.`);
}

function contestantsFor(workload) {
  if (workload.contestants) return workload.contestants;
  const only = options.only?.split(',');
  return contestants.filter(
    (contestant) => takesPart(workload, contestant) && (only?.includes(contestant.name) ?? true),
  );
}

function settingsOf({ settings, smoke }) {
  const chosen = { ...settings, ...(options.smoke && smoke) };
  for (const name of ['rounds', 'ms']) {
    if (options[name] !== undefined && name in chosen) chosen[name] = Number(options[name]);
  }
  return chosen;
}

async function redisVersion() {
  const server = await RedisServer.start();
  const version = await server.version();
  await server.stop();
  return version;
}

function save() {
  const folder = new URL('results/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const stamp = report.started.slice(0, 19).replaceAll(':', '-');
  const file = fileURLToPath(new URL([stamp, ...names].join('-'), folder));
  writeFileSync(`${file}.md`, markdown(report));
  writeFileSync(`${file}.json`, json(report));
}
