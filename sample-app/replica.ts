import { type Format, paint, print } from './print.js';

const COLOURS = ['cyan', 'magenta', 'yellow', 'blue', 'green'] as const;

/** One replica of the application, and the coloured lines in which it tells what it does. */
export class Replica {
  readonly name: string;
  readonly #colour: Format;

  constructor(name: string, index: number) {
    this.name = name;
    this.#colour = COLOURS[index % COLOURS.length]!;
  }

  tell(text: string): void {
    print(this.name, this.#colour, text);
  }

  announce(text: string): void {
    this.tell(paint(['bold', 'green'], text));
  }

  whisper(text: string): void {
    this.tell(paint('gray', text));
  }
}
