import { LockConfigError } from '../../core/errors.js';
import { namespaceOf } from '../../core/store-key.js';
import { slotOf } from './connection/slots.js';

/**
 * Names the mark of a namespace: the key of the next free fencing token.
 *
 * 1. A mark has no TTL, so tokens also increase after a server's clock was set back.
 * 2. All keys share it: a mark for each key would stay behind for every order that was ever locked.
 */
export interface Marks {
  keyFor(key: string): string;
}

/** One mark for each namespace, where all keys are together. */
export const oneMark: Marks = { keyFor: (key) => `{${namespaceOf(key)}:t:}` };

/** One for each namespace and slot of a cluster: a script reaches one slot, so the mark has to be where the lock is. */
export class SlotMarks implements Marks {
  readonly #namespaces = new Map<string, MarksOfNamespace>();

  keyFor(key: string): string {
    const namespace = namespaceOf(key);
    let marks = this.#namespaces.get(namespace);
    if (!marks) this.#namespaces.set(namespace, (marks = new MarksOfNamespace(namespace)));
    return marks.in(slotOf(`{${key}}`));
  }
}

/** The keys of one script are in several slots: the mark was not where the lock is. */
export function isCrossSlot(error: unknown): boolean {
  return error instanceof LockConfigError && /\bCROSSSLOT\b/.test(error.message);
}

/** Tries numbers until one names a key in the slot, and keeps those that it finds on the way. */
class MarksOfNamespace {
  readonly #prefix: string;
  readonly #crcOfPrefix: number;
  readonly #numbers = new Map<number, number>();
  #next = 0;

  constructor(namespace: string) {
    this.#prefix = `${namespace}:t:`;
    this.#crcOfPrefix = crc16(this.#prefix);
  }

  in(slot: number): string {
    while (!this.#numbers.has(slot)) {
      const number = this.#next++;
      const found = crc16(String(number), this.#crcOfPrefix) % 16384;
      if (!this.#numbers.has(found)) this.#numbers.set(found, number);
    }
    return `{${this.#prefix}${this.#numbers.get(slot)}}`;
  }
}

/**
 * CRC-16/XMODEM of ASCII text, as clusters use it. ioredis has it inside of a command only, which takes 50 times as long:
 * too long for the thousands of numbers that are tried at the first lock.
 */
function crc16(text: string, start = 0): number {
  let crc = start;
  for (let index = 0; index < text.length; index++) {
    crc ^= text.charCodeAt(index) << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}
