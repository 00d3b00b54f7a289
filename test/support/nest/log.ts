import type { LoggerService } from '@nestjs/common';

type Level = 'log' | 'warn' | 'error';

export interface LogLine {
  readonly level: Level;
  readonly text: string;
  readonly context: string;
}

/** Keeps what an application logs. */
export class RecordingLogger implements LoggerService {
  readonly lines: LogLine[] = [];
  readonly #waiting = new Set<(line: LogLine) => void>();

  log(message: unknown, ...rest: unknown[]): void {
    this.#record('log', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.#record('warn', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.#record('error', message, rest);
  }

  /** The texts of one level, of one context where it is given. */
  texts(level: Level, context?: string): string[] {
    return this.lines
      .filter((line) => line.level === level && (context === undefined || line.context === context))
      .map(({ text }) => text);
  }

  /** Resolves with the first line that matches, past or future. */
  line(level: Level, pattern: RegExp): Promise<LogLine> {
    const matches = (line: LogLine): boolean => line.level === level && pattern.test(line.text);
    const past = this.lines.find(matches);
    if (past) return Promise.resolve(past);
    return new Promise((resolve) => {
      const check = (line: LogLine): void => {
        if (!matches(line)) return;
        this.#waiting.delete(check);
        resolve(line);
      };
      this.#waiting.add(check);
    });
  }

  #record(level: Level, message: unknown, rest: readonly unknown[]): void {
    const text = message instanceof Error ? `${message.name}: ${message.message}` : String(message);
    const context = rest.at(-1);
    const line = { level, text, context: typeof context === 'string' ? context : '' };
    this.lines.push(line);
    for (const check of this.#waiting) check(line);
  }
}
