// The figures as Markdown, for people, and as JSON.
import { availableParallelism, cpus, platform } from 'node:os';
import { libraryVersions } from './harness/contestants.mjs';
import { goals, judge } from './goals.mjs';

export function markdown(report) {
  const { machine, results, isSmoke } = report;
  const versions = Object.entries(machine.libraries).map(([name, version]) => `${name} ${version}`);
  return [
    '# Benchmark',
    isSmoke && '**A smoke run: it shows that everything works. The figures mean nothing.**',
    `${report.started}, ${machine.cpus} × ${machine.cpu}, ${machine.platform}, Node ${machine.node}, Redis ${machine.redis}, load ${report.load.join(' to ')}.`,
    `Compared: ${versions.join(', ')}. Everything on one machine, over loopback.`,
    'Each cell is the median over the rounds, with the smallest and the largest. Ratios (×) are taken round by round. ' +
      'A name alone is a library at its defaults; what follows a `~` is how often it polls.',
    '## Goals',
    goalsTable(results),
    ...results.flatMap(section),
  ]
    .filter(Boolean)
    .join('\n\n')
    .concat('\n');
}

export function section(result) {
  const { name, title } = result.workload;
  const settings = Object.entries(result.settings).map(([key, value]) => `${key} ${value}`);
  return [`## ${name}: ${title}`, `Settings: ${settings.join(', ')}.`, figures(result), ...result.notes];
}

export function json(report) {
  return JSON.stringify({ ...report, goals: verdicts(report.results).map(({ goal }) => goal) }, undefined, 1);
}

export function thisMachine(redis) {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cpus: availableParallelism(),
    platform: platform(),
    node: process.version,
    redis,
    libraries: libraryVersions(),
  };
}

export function goalsTable(results) {
  const rows = verdicts(results).map(({ goal, cell }) => [goal.workload, goal.goal, goal.limit, cell, goal.verdict]);
  return table(['workload', 'goal', 'limit', 'measured', 'verdict'], rows, 2);
}

/** The goals of the workloads that ran. */
function verdicts(results) {
  return results.flatMap((result) =>
    goals
      .filter(({ workload }) => workload === result.workload.name)
      .map(({ workload, goal, atMost, atLeast, stretch, measured: measure }) => {
        const measured = measure(result);
        const verdict = judge({ atMost, atLeast, stretch }, measured);
        const limit = `${atMost === undefined ? '≥' : '≤'} ${number(atMost ?? atLeast)}${stretch === undefined ? '' : `, stretch ${number(stretch)}`}`;
        return { cell: range(measured), goal: { workload, goal, limit, measured, verdict } };
      }),
  );
}

function figures(result) {
  const { columns, ratios } = result.workload;
  const header = [
    'contestant',
    ...columns.map(({ title }) => title),
    ...ratios.map(({ metric, to }) => `${columns.find((column) => column.metric === metric).title}, × ${to}`),
  ];
  const rows = result.names.map((name) => [
    name,
    ...columns.map(({ metric, total }) =>
      total ? number(result.total(name, metric)) : range(result.metric(name, metric)),
    ),
    ...ratios.map(({ metric, to }) => range(result.ratio(metric, name, to))),
  ]);
  return table(header, rows);
}

function range(summary) {
  if (!summary) return '–';
  const { median, min, max, to } = summary;
  const spread = min === max ? '' : ` [${number(min)}–${number(max)}]`;
  return `${number(median)}${spread}${to === undefined ? '' : `, × ${to}`}`;
}

/** Three digits, or all before the point. */
function number(value) {
  if (value === undefined) return '–';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return Number(value.toFixed(value !== 0 && Math.abs(value) < 0.1 ? 4 : digits)).toLocaleString('en-US', {
    maximumFractionDigits: 4,
  });
}

/** The first `left` columns are text. */
function table(header, rows, left = 1) {
  const lines = [header, header.map((_, index) => (index < left ? '---' : '---:')), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
