import { type Linked, LinkedList } from '../core/linked-list.js';
import type { WaitLimit } from './wait-limit.js';

/**
 * The requests of one instance that are on their way to the store: enough to keep it busy, and no more, because a
 * request in a buffer uses up the time of its answer. The others stand here, first come, first served, behind requests
 * that give something back or keep a place. Renewals do not come here.
 */
export class RequestGate {
  readonly limit: number;
  readonly #urgent = new LinkedList<Turn>();
  readonly #others = new LinkedList<Turn>();
  #underWay = 0;
  #standing = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** How many stand and wait for their turn. */
  get standing(): number {
    return this.#standing;
  }

  /** Takes a place for one request, if there is room. */
  enter(): boolean {
    if (this.#underWay >= this.limit) return false;
    this.#underWay++;
    return true;
  }

  /** Resolves with a place taken. Rejects when the wait is over first: no place is taken then. */
  async turn(waitLimit: WaitLimit, isUrgent: boolean): Promise<void> {
    const turn = this.#stand(isUrgent);
    try {
      await waitLimit.race(turn.called);
      waitLimit.throwIfOver();
    } catch (error) {
      this.#giveUp(turn);
      throw error;
    }
  }

  /** Frees the place of a request that is settled; the next one has it. */
  readonly leave = (): void => {
    const next = this.#urgent.first ?? this.#others.first;
    if (!next) {
      this.#underWay--;
      return;
    }
    next.line.remove(next);
    this.#standing--;
    next.call();
  };

  /** Sends a request that others wait for as soon as there is room. */
  async sendUrgent<T>(request: () => Promise<T>): Promise<T> {
    if (!this.enter()) await this.#stand(true).called;
    try {
      return await request();
    } finally {
      this.leave();
    }
  }

  #stand(isUrgent: boolean): Turn {
    const turn = new Turn(isUrgent ? this.#urgent : this.#others);
    this.#standing++;
    return turn;
  }

  #giveUp(turn: Turn): void {
    if (turn.isCalled) return this.leave();
    turn.line.remove(turn);
    this.#standing--;
  }
}

class Turn implements Linked<Turn> {
  before: Turn | undefined;
  after: Turn | undefined;
  readonly line: LinkedList<Turn>;
  readonly called: Promise<void>;
  isCalled = false;
  #resolve!: () => void;

  constructor(line: LinkedList<Turn>) {
    this.line = line;
    this.called = new Promise((resolve) => (this.#resolve = resolve));
    line.append(this);
  }

  call(): void {
    this.isCalled = true;
    this.#resolve();
  }
}
