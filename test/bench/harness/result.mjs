import { summary } from './statistics.mjs';

/** What one workload measured: for each contestant one row of metrics per round. */
export class Result {
  notes = [];
  #rows;

  constructor(workload, contestants, settings) {
    this.workload = workload;
    this.settings = settings;
    this.#rows = new Map(contestants.map(({ name, kind }) => [name, { kind, rounds: [] }]));
  }

  get names() {
    return [...this.#rows.keys()].filter((name) => this.#rounds(name).length > 0);
  }

  record({ name }, round, row) {
    const { rounds } = this.#rows.get(name) ?? {};
    if (rounds) rounds[round] = row;
  }

  drop({ name }) {
    this.#rows.delete(name);
  }

  /** Median, min and max of a metric over the rounds. */
  metric(name, metric) {
    return summary(this.#rounds(name).map((row) => row?.[metric]));
  }

  /** The sum of a metric over all rounds. */
  total(name, metric) {
    const values = this.#rounds(name).flatMap((row) => row?.[metric] ?? []);
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
  }

  /** Round by round, one contestant over another, so that the drift of a shared machine cancels. */
  ratio(metric, name, to) {
    const value = (row) => row?.[metric] ?? Number.NaN;
    const base = this.#rounds(to);
    return summary(this.#rounds(name).map((row, round) => value(row) / value(base[round])));
  }

  /** The peer with the largest median. */
  bestPeer(metric) {
    const peers = this.names.filter((name) => this.#rows.get(name).kind === 'peer' && this.metric(name, metric));
    return peers.toSorted((a, b) => this.metric(b, metric).median - this.metric(a, metric).median)[0];
  }

  toJSON() {
    const { name, title } = this.workload;
    return { name, title, settings: this.settings, notes: this.notes, rows: Object.fromEntries(this.#rows) };
  }

  #rounds(name) {
    return this.#rows.get(name)?.rounds ?? [];
  }
}
