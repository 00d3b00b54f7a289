import { randomUUID } from 'node:crypto';
import type { Clock } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import type { FactStore } from '../core/fact-store.js';

/** Facts and numbers of one scope, as several instances see them. */
export interface Stage {
  readonly clock: Clock;
  readonly scope: string;
  readonly stores: readonly [FactStore, FactStore];
  /** TTL of facts that must not run out during a case. */
  readonly long: Milliseconds;
  /** TTL of facts whose end a case waits for. */
  readonly short: Milliseconds;
}

export type FactStoreCases = Record<string, (stage: Stage) => Promise<void>>;

/** Scopes, ids and values are arbitrary. */
export const STRINGS = [
  '',
  ' ',
  ':',
  '{',
  '}',
  '}:x',
  'x}:x',
  '%',
  '%7D',
  '1 a',
  'a\nb\r\n',
  '*',
  'é',
  'e\u0301',
  '🔒',
  '\0',
  '__proto__',
];

export const newScope = (): string => `contract:m:${randomUUID()}`;
