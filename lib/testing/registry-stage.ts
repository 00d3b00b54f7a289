import { randomUUID } from 'node:crypto';
import type { Registry } from '../core/registry.js';

/** Facts and numbers of one scope, as several instances see them. */
export interface Stage {
  readonly scope: string;
  readonly registries: readonly [Registry, Registry];
  /** Milliseconds: of what must not run out during a case, and of what a case waits for. */
  readonly long: number;
  readonly short: number;
}

export type RegistryCases = Record<string, (stage: Stage) => Promise<void>>;

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
