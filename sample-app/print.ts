import { styleText } from 'node:util';

export type Format = Parameters<typeof styleText>[0];

const { FORCE_COLOR } = process.env;
const coloured = process.stdout.isTTY ? process.stdout.hasColors() : FORCE_COLOR !== undefined && FORCE_COLOR !== '0';

/** Prints one line: the time, the source, the text. */
export function print(who: string, colour: Format, text: string): void {
  const now = new Date();
  const time = `${clockTime(now)}.${String(now.getMilliseconds()).padStart(3, '0')}`;
  console.log(`${paint('gray', time)}  ${paint(colour, who.padEnd(12))}  ${text}`);
}

/** Colours a text for a terminal, unless NO_COLOR is set. FORCE_COLOR colours it elsewhere, too. */
export function paint(format: Format, text: string): string {
  return coloured ? styleText(format, text, { validateStream: false }) : text;
}

/** Hours, minutes and seconds of this machine's time zone. */
export function clockTime(date: Date): string {
  return date.toTimeString().slice(0, 8);
}

export function howMany(replicas: number): string {
  return replicas === 1 ? '1 replica' : `${replicas} replicas`;
}
