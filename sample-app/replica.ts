import { type Format, paint, print } from './print.js';

const COLOURS = ['cyan', 'magenta', 'yellow', 'blue', 'green'] as const;

/** One replica of the application. It reports its actions in lines of one colour. */
export class Replica {
  readonly name: string;
  readonly #colour: Format;

  constructor(name: string, index: number) {
    this.name = name;
    this.#colour = COLOURS[index % COLOURS.length]!;
  }

  log(text: string): void {
    print(this.name, this.#colour, text);
  }

  announce(text: string): void {
    this.log(paint(['bold', 'green'], text));
  }

  whisper(text: string): void {
    this.log(paint('gray', text));
  }
}
