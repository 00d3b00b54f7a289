// What we want, and against what it is measured. Judged by the median over the rounds; met or not, the report says so.
const OURS = 'dist-lock';

const metric =
  (name, contestant = OURS) =>
  (result) =>
    result.metric(contestant, name);
const ratio =
  (name, to, contestant = OURS) =>
  (result) =>
    result.ratio(name, contestant, to);
const total = (name) => (result) => {
  const sum = result.total(OURS, name);
  return sum === undefined ? undefined : { median: sum, min: sum, max: sum };
};
const againstBestPeer = (name) => (result) => {
  const to = result.bestPeer(name);
  const measured = result.ratio(name, OURS, to);
  return measured && { ...measured, to };
};

export const goals = [
  { workload: 'W1', goal: 'p50 against raw ioredis', atMost: 1.4, stretch: 1.2, measured: ratio('p50', 'raw') },
  { workload: 'W1', goal: 'p50 against redlock', atMost: 1.1, stretch: 0.95, measured: ratio('p50', 'redlock') },
  { workload: 'W2', goal: 'Node CPU per operation against raw ioredis', atMost: 1.5, measured: ratio('cpu', 'raw') },
  {
    workload: 'W2',
    goal: 'operations/s against redlock',
    atLeast: 1,
    stretch: 1.3,
    measured: ratio('perSecond', 'redlock'),
  },
  {
    workload: 'W3',
    goal: 'hand-offs/s against the best peer at its best settings',
    atLeast: 5,
    measured: againstBestPeer('handOffsPerSecond'),
  },
  {
    workload: 'W3',
    goal: 'hand-offs/s against redlock at its defaults',
    atLeast: 100,
    measured: ratio('handOffsPerSecond', 'redlock'),
  },
  { workload: 'W3', goal: 'commands per hand-off', atMost: 2.1, measured: metric('commandsPerHandOff') },
  { workload: 'W3', goal: 'Jain index of the processes', atLeast: 0.98, measured: metric('processFairness') },
  {
    workload: 'W9',
    goal: 'p50 against redlock on as many servers',
    atMost: 0.75,
    stretch: 0.5,
    measured: ratio('p50', 'redlock~quorum', 'dist-lock~quorum'),
  },
  {
    workload: 'W9',
    goal: 'p50 with one server stopped against all up',
    atMost: 1.5,
    measured: metric('slower', 'dist-lock~quorum'),
  },
  { workload: 'W3', goal: 'overlapping holds', atMost: 0, measured: total('overlaps') },
  { workload: 'W4', goal: 'acquisitions/s', atLeast: 100_000, measured: metric('acquisitionsPerSecond') },
  { workload: 'W4', goal: 'overlapping holds', atMost: 0, measured: total('overlaps') },
  {
    workload: 'W4b',
    goal: 'acquisitions/s against local batches of size 1',
    atLeast: 8,
    measured: ratio('acquisitionsPerSecond', 'dist-lock~apart'),
  },
  { workload: 'W4b', goal: 'overlapping holds', atMost: 0, measured: total('overlaps') },
  { workload: 'W5', goal: 'commands against redlock', atMost: 0.03, measured: ratio('commands', 'redlock') },
  { workload: 'W5', goal: 'Node CPU against redlock', atMost: 0.8, measured: ratio('cpu', 'redlock') },
  { workload: 'W5', goal: 'commands/s', atMost: 10, measured: metric('commands') },
  { workload: 'W6', goal: 'p50 ms after the end of the TTL', atMost: 5, measured: metric('late') },
  { workload: 'W6', goal: 'waiters that gave up', atMost: 0, measured: total('failures') },
  { workload: 'W7', goal: 'p50 against an empty PUBLISH', atMost: 2, measured: ratio('p50', 'publish-hop') },
  { workload: 'W7', goal: 'p50 against redis-semaphore', atMost: 0.2, measured: ratio('p50', 'redis-semaphore') },
  { workload: 'W8', goal: 'heap growth, bytes per operation', atMost: 5, measured: metric('bytes') },
  { workload: 'E1', goal: 'p50 against etcd3', atMost: 0.8, measured: ratio('p50', 'etcd3') },
  { workload: 'E1', goal: 'Node CPU per operation against etcd3', atMost: 0.8, measured: ratio('cpu', 'etcd3') },
  { workload: 'E2', goal: 'ms without a lock, leader of etcd killed', atMost: 5000, measured: metric('gap') },
  { workload: 'E3', goal: 'ms in which two believe', atMost: 0, measured: metric('both') },
  { workload: 'decorators', goal: '@WithLock, µs per call', atMost: 10, measured: metric('perCall', '@WithLock') },
  { workload: 'decorators', goal: '@LeaderOnly, µs per call', atMost: 2, measured: metric('perCall', '@LeaderOnly') },
];

/** The verdict on what was measured. */
export function judge({ atMost, atLeast, stretch }, measured) {
  if (!measured) return 'not measured';
  const reaches = (limit) => (atMost === undefined ? measured.median >= limit : measured.median <= limit);
  if (!reaches(atMost ?? atLeast)) return 'MISSED';
  return stretch !== undefined && reaches(stretch) ? 'met, stretch too' : 'met';
}
