import { Logger } from '@nestjs/common';
import { guarded } from '../core/guarded.js';

const LEVELS = ['log', 'error', 'warn', 'debug', 'verbose', 'fatal'] as const;

/** The logger of the application, which must not end what we were about to do when it throws. */
export class SafeLogger extends Logger {
  constructor(context: string) {
    super(context);
    for (const level of LEVELS) {
      const write = (...args: unknown[]): void => void Reflect.apply(Logger.prototype[level], this, args);
      this[level] = guarded('the logger', write);
    }
  }
}
