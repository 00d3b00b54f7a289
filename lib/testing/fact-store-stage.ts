import { randomUUID } from 'node:crypto';
import type { FactStore } from '../core/fact-store.js';

/** Facts and numbers of one scope, as several instances see them. */
export interface Stage {
  readonly scope: string;
  readonly stores: readonly [FactStore, FactStore];
  /** Milliseconds: of what must not run out during a case, and of what a case waits for. */
  readonly long: number;
  readonly short: number;
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
