import { Logger } from '@nestjs/common';
import { guarded } from '../core/guarded.js';
import { printable } from '../core/printable.js';

const LEVELS = ['log', 'error', 'warn', 'debug', 'verbose', 'fatal'] as const;

/**
 * The logger of the application, made safe:
 *
 * 1. An error of the logger does not reach the code that logs.
 * 2. A text from outside, such as the key of a lock, cannot forge a line of the log.
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

/** Escapes line breaks, but not those of a stack. */
function inLines(part: unknown): unknown {
  return typeof part === 'string' ? part.split('\n    at ').map(printable).join('\n    at ') : part;
}
