import type { FactStore } from '../core/fact-store.js';

/** What the store remembers of the newest claimed fire of a job. */
export interface LastFire {
  readonly instant: number;
  /** Id of the instance that claimed it. */
  readonly by: string;
  readonly done: boolean;
}

/** How long what became of a fire is remembered, in terms of how long a run lives without a sign of life. */
const DONE_FOR = 3;

/**
 * What is known of the fires of jobs. Beside the number that decides who runs a fire, for those who want to know what
 * became of it: a fact for each fire, kept alive while it runs, and one for the newest fire of a job.
 */
export class FireRecords {
  readonly #facts: FactStore;
  readonly #scope: string;
  /** Milliseconds after which a run without a sign of life is dead. */
  readonly aliveFor: number;

  constructor(facts: FactStore, scope: string, aliveFor: number) {
    this.#facts = facts;
    this.#scope = scope;
    this.aliveFor = aliveFor;
  }

  /** Whether this attempt gets the fire. May be repeated by the same attempt. */
  async claim(job: string, instant: number, attempt: string, ttl: number): Promise<boolean> {
    return (await this.#facts.advance(this.#scope, job, instant, attempt, ttl)) === 'mine';
  }

  /** Whether this instance is the one that reports a fire as abandoned. */
  async claimReport(job: string, instant: number, by: string): Promise<boolean> {
    const ttl = DONE_FOR * this.aliveFor;
    return (await this.#facts.advance(this.#scope, `abandoned ${job}`, instant, by, ttl)) === 'mine';
  }

  async runs(job: string, instant: number): Promise<void> {
    await this.#facts.put(this.#scope, runOf(job, instant), 'runs', this.aliveFor);
  }

  async done(job: string, instant: number): Promise<void> {
    await this.#facts.put(this.#scope, runOf(job, instant), 'done', DONE_FOR * this.aliveFor);
  }

  async setLast(job: string, last: LastFire, ttl: number): Promise<void> {
    await this.#facts.put(this.#scope, lastOf(job), JSON.stringify(last), ttl);
  }

  /** What became of a fire, as far as that is remembered, and the newest fire of the job. */
  async look(job: string, instant?: number): Promise<{ run?: string | undefined; last?: LastFire | undefined }> {
    const facts = await this.#facts.list(this.#scope);
    const text = facts.get(lastOf(job));
    const last = text === undefined ? undefined : parseLast(text);
    const which = instant ?? last?.instant;
    return { last, run: which === undefined ? undefined : facts.get(runOf(job, which)) };
  }
}

const runOf = (job: string, instant: number): string => `run ${instant} ${job}`;
const lastOf = (job: string): string => `last ${job}`;

/** Undefined for what is no such record: whoever can write to the store can write anything. */
function parseLast(text: string): LastFire | undefined {
  try {
    const { instant, by, done } = JSON.parse(text) as Partial<Record<keyof LastFire, unknown>>;
    const isRecord = Number.isSafeInteger(instant) && typeof by === 'string' && typeof done === 'boolean';
    return isRecord ? { instant: Number(instant), by, done } : undefined;
  } catch {
    return undefined;
  }
}
