import { Logger } from '@nestjs/common';
import { guarded } from '../core/guarded.js';
import { printable } from '../core/printable.js';

const LEVELS = ['log', 'error', 'warn', 'debug', 'verbose', 'fatal'] as const;

/**
 * The logger of the application. One that throws must not end what we were about to do, and what comes from outside, such
 * as the key of a lock, must not forge a line.
 */
export class SafeLogger extends Logger {
  constructor(context: string) {
    super(context);
    for (const level of LEVELS) {
      const write = (...args: unknown[]): void => void Reflect.apply(Logger.prototype[level], this, args.map(inLines));
      this[level] = guarded('the logger', write);
    }
  }
}

/** A stack has lines of its own. */
function inLines(part: unknown): unknown {
  return typeof part === 'string' ? part.split('\n    at ').map(printable).join('\n    at ') : part;
}
