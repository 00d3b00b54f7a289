import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ElectionOptions } from 'nestjs-dist-lock';
import type { Belief } from '../support/history/history.js';

type Message =
  | { type: 'ready' }
  | { type: 'believes' | 'ended'; token: number; at: number }
  | { type: 'refused'; token: number }
  | { type: 'stalled'; from: number; until: number };

export type Kind = 'kill' | 'pause' | 'terminate';

/** What was done to the leader of a term. */
export interface Disturbance {
  kind: Kind;
  token: number;
  /** Just before the signal, by the clock that all the processes share. */
  at: number;
}

/** A leader that was stopped, and what it said when it went on. */
export interface Pause {
  token: number;
  /** Just before SIGCONT. */
  continuedAt: number;
  /** When it first read that it does not lead. */
  endedAt: number;
}

const PATIENCE = 20_000;
const script = fileURLToPath(new URL('candidate.mjs', import.meta.url));
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** One process, from its start to its end. */
class Replica {
  readonly id: string;
  readonly child: ChildProcess;
  readonly beliefs = new Map<number, Belief>();
  readonly ended = new Map<number, number>();
  readonly exited: Promise<unknown[]>;
  isReady = false;
  isStopped = false;

  constructor(id: string, child: ChildProcess) {
    this.id = id;
    this.child = child;
    // What it said before its end comes before the end of the channel.
    this.exited = Promise.all([once(child, 'exit'), once(child, 'disconnect')]).then(([status]) => status);
  }

  /** The term in which it leads, as far as it told. */
  get token(): number | undefined {
    return [...this.beliefs.keys()].findLast((token) => !this.ended.has(token));
  }
}

/** Processes that elect a leader on one server while they are killed, stopped and shut down, and what they believed. */
export class Electorate {
  /** The intervals in which `isLeader()` said true, by the reads of the process itself. */
  readonly beliefs: Belief[] = [];
  readonly disturbances: Disturbance[] = [];
  readonly pauses: Pause[] = [];
  /** Terms that a process believed in again after it had read that they are over. */
  readonly resurrected: number[] = [];
  /** Exit code and signal of each process that was shut down. */
  readonly exits: unknown[] = [];
  /** When a candidate did not run, because it was stopped or the machine was busy. */
  readonly stalls: { from: number; until: number }[] = [];
  refused = 0;
  readonly #args: string[];
  readonly #running = new Map<string, Replica>();
  readonly #pausing = new Set<Promise<void>>();
  readonly #news = new EventEmitter();
  #latest = 0;
  #isEnding = false;

  constructor(
    ids: Iterable<string>,
    server: string,
    election: ElectionOptions,
    trust: 'clock' | 'flag',
    fencing: 'fenced' | 'unfenced',
  ) {
    this.#args = [server, JSON.stringify(election), trust, fencing];
    for (const id of ids) this.#start(id);
  }

  async ready(): Promise<void> {
    await this.#until('every process to be ready', () => [...this.#running.values()].every(({ isReady }) => isReady));
  }

  /** The process that leads in the latest term, which is to be later than `after`. */
  async leader(after = 0): Promise<Replica> {
    const leads = ({ isReady, token = 0, isStopped }: Replica): boolean =>
      isReady && token > after && token === this.#latest && !isStopped;
    await this.#until(`a leader after term ${after}`, () => [...this.#running.values()].some(leads));
    return [...this.#running.values()].find(leads)!;
  }

  /** Somebody who waits, chosen by a number from 0 to 1. */
  async candidate(choice: number): Promise<Replica> {
    const waits = ({ isReady, token, isStopped }: Replica): boolean => isReady && token === undefined && !isStopped;
    await this.#until('a candidate', () => [...this.#running.values()].some(waits));
    const waiting = [...this.#running.values()].filter(waits);
    return waiting[Math.floor(choice * waiting.length)]!;
  }

  /**
   * Resolves when the signal was sent and, where it hit a leader, another term has begun. A leader is hit only while
   * somebody waits who can follow: processes that still start, under load for seconds, cannot.
   *
   * @param stopFor how long a pause lasts, or until a successor leads, whichever is later
   */
  async disturb(kind: Kind, victim: Replica, stopFor: number): Promise<void> {
    const { token } = victim;
    if (token !== undefined) {
      await this.candidate(0);
      this.disturbances.push({ kind, token, at: now() });
    }
    if (kind === 'pause') this.#pausing.add(this.#pause(victim, token, stopFor));
    else void this.#replace(victim, kind === 'kill' ? 'SIGKILL' : 'SIGTERM');
    if (token !== undefined) await this.leader(token);
  }

  /** Shuts every process down. */
  async end(): Promise<void> {
    await Promise.all(this.#pausing);
    await this.ready();
    this.#isEnding = true;
    await Promise.all([...this.#running.values()].map((replica) => this.#replace(replica, 'SIGTERM')));
  }

  /** For a test that failed. Does nothing after `end()`. */
  kill(): void {
    this.#isEnding = true;
    for (const { child } of this.#running.values()) child.kill('SIGKILL');
  }

  #start(id: string): void {
    const replica = new Replica(id, fork(script, [id, ...this.#args]));
    this.#running.set(id, replica);
    replica.child.on('message', (message) => this.#heard(replica, message as Message));
  }

  /** A process with the same instance id takes the place of one that ends. */
  async #replace(victim: Replica, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    victim.isReady = false;
    victim.child.kill(signal);
    const status = await victim.exited;
    if (signal === 'SIGTERM') this.exits.push(status);
    if (!this.#isEnding) this.#start(victim.id);
  }

  async #pause(victim: Replica, token: number | undefined, stopFor: number): Promise<void> {
    victim.child.kill('SIGSTOP');
    victim.isStopped = true;
    await sleep(stopFor);
    if (token !== undefined) await this.leader(token);
    const continuedAt = now();
    victim.child.kill('SIGCONT');
    victim.isStopped = false;
    if (token === undefined) return;
    await this.#until(`the leader of term ${token} to see that it is over`, () => victim.ended.has(token));
    this.pauses.push({ token, continuedAt, endedAt: victim.ended.get(token)! });
  }

  #heard(replica: Replica, message: Message): void {
    const { id, beliefs, ended } = replica;
    if (message.type === 'ready') replica.isReady = true;
    if (message.type === 'refused') this.refused++;
    if (message.type === 'stalled') this.stalls.push(message);
    if (message.type === 'ended') ended.set(message.token, message.at);
    if (message.type === 'believes') {
      const { token, at } = message;
      const known = beliefs.get(token);
      const belief = known ?? { id, token, from: at, until: at };
      belief.until = at;
      if (!known) {
        this.#latest = Math.max(this.#latest, token);
        beliefs.set(token, belief);
        this.beliefs.push(belief);
      } else if (ended.has(token)) {
        this.resurrected.push(token);
      }
    }
    this.#news.emit('news');
  }

  async #until(what: string, test: () => boolean): Promise<void> {
    const signal = AbortSignal.timeout(PATIENCE);
    while (!test()) {
      await once(this.#news, 'news', { signal }).catch((cause: unknown) => {
        throw new Error(`Waited ${PATIENCE} ms for ${what}.`, { cause });
      });
    }
  }
}
