import { backoff } from '../core/backoff.js';
import type { Clock, Random } from '../core/clock.js';
import { LockConfigError } from '../core/errors.js';
import { Outages } from './outages.js';
import type { RequestGate } from './request-gate.js';

export type Warn = (message: string) => void;

export interface ReleaseRetriesContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly gate: RequestGate;
  readonly warn: Warn;
}

interface PendingRelease {
  readonly request: () => Promise<unknown>;
  /** Of the store, as far as it can be down by itself. */
  readonly part: number;
  readonly ttl: number;
  readonly deadline: number;
  /** Without those by which it was found out that the store is down. */
  tries: number;
}

/**
 * Requests that give something back to the store: each is repeated until it was answered, or until what it gives back
 * must have run out by itself. The caller waits for the first try only, and not for that where the store is known to be
 * down. What the store refuses for good is not repeated, but an operator is told: once, until something was given back
 * again.
 */
export class ReleaseRetries {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #gate: RequestGate;
  readonly #warn: Warn;
  readonly #outages: Outages<PendingRelease>;
  #refusal: string | undefined;
  #open = 0;
  #onSettled: (() => void) | undefined;

  constructor({ clock, random, gate, warn }: ReleaseRetriesContext) {
    this.#clock = clock;
    this.#gate = gate;
    this.#warn = warn;
    this.#random = random;
    this.#outages = new Outages<PendingRelease>(clock, random, {
      wanted: (settlements) => settlements.filter((settlement) => this.#isWanted(settlement)),
      probe: (settlement) => void this.#try(settlement, true),
      again: (settlements) => {
        for (const settlement of settlements) this.#again(settlement);
      },
    });
  }

  /** Resolves after the first try, whatever its outcome; the others go on in the background. */
  settle(request: () => Promise<unknown>, ttl: number, part = 0): Promise<void> {
    this.#open++;
    const settlement = { request, part, ttl, deadline: this.#clock.now() + ttl, tries: 0 };
    return this.#try(settlement, false);
  }

  /** The store may answer again. */
  retry(): void {
    this.#outages.end();
  }

  /** Resolves when all that is under way is settled. */
  all(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onSettled = resolve));
  }

  #settled(): void {
    if (--this.#open === 0) this.#onSettled?.();
  }

  async #try(settlement: PendingRelease, isProbe: boolean): Promise<void> {
    const { request, part } = settlement;
    try {
      await this.#gate.sendUrgent(() => {
        // What stood at the gate when the store turned out to be down need not find out by itself.
        if (!isProbe && this.#outages.isDown(part)) throw this.#outages.causeOf(part);
        if (!isProbe) settlement.tries++;
        return request();
      });
      this.#refusal = undefined;
    } catch (error) {
      if (!(error instanceof LockConfigError)) return this.#failed(settlement, error);
      this.#refused(error);
    }
    this.#settled();
    this.#outages.answered(part);
  }

  #failed(settlement: PendingRelease, cause: unknown): void {
    if (this.#isWanted(settlement)) this.#outages.add(settlement.part, settlement, firstDelay(settlement), cause);
    else this.#outages.failed();
  }

  /** The part answers: one that fails nevertheless has to wait for itself. */
  #again(settlement: PendingRelease): void {
    const { tries } = settlement;
    if (tries <= 1) return void this.#try(settlement, false);
    const delay = backoff(tries - 1, firstDelay(settlement), 1000, this.#random);
    this.#clock.after(delay, () => {
      if (this.#isWanted(settlement)) void this.#try(settlement, false);
    });
  }

  /** False once its TTL has run out in the store: it is settled then. */
  #isWanted({ deadline }: PendingRelease): boolean {
    if (this.#clock.now() < deadline) return true;
    this.#settled();
    return false;
  }

  #refused({ message }: LockConfigError): void {
    if (message === this.#refusal) return;
    this.#refusal = message;
    this.#warn(`The store refuses to release a lock; the lock stays taken until its TTL has run out. ${message}`);
  }
}

function firstDelay({ ttl }: PendingRelease): number {
  return Math.min(100, ttl / 12);
}
