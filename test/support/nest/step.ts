/** Work of an application that a test waits for and lets end. */
export class Step {
  readonly begun: Promise<void>;
  #begin!: () => void;
  #end!: () => void;
  readonly #ended: Promise<void>;

  constructor() {
    this.begun = new Promise((resolve) => (this.#begin = resolve));
    this.#ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** What the application calls. */
  run(): Promise<void> {
    this.#begin();
    return this.#ended;
  }

  end(): void {
    this.#end();
  }
}
