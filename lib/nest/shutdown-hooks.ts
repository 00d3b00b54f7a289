import type { Logger } from '@nestjs/common';
import type { Clock, Timer } from '../core/clock.js';

/** Applications may enable shutdown hooks after they have started. */
const CHECKED_AFTER = 1000;

/** The methods of an application of Nest that listen to signals. Nest keeps the listener itself to the application. */
const NEST = /\b(?:listenToShutdownSignals|enableShutdownHooks)\b/;
const FRAMES = 30;

/**
 * Warns soon after the start when the application has not enabled its shutdown hooks: then nothing is handed over, a
 * stopped replica's leases end with their TTL. Listeners of others for the same signal do not count, such as those of a
 * tracing library.
 */
export class ShutdownHooks {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #areEnabled = false;
  #check: Timer | undefined;

  /** While the application is being created, so that it cannot have enabled them before. */
  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
    process.on('newListener', this.#onNewListener);
  }

  started(): void {
    this.#check = this.#clock.after(CHECKED_AFTER, () => {
      this.end();
      if (!this.#areEnabled) this.#warn();
    });
  }

  end(): void {
    this.#check?.cancel();
    process.off('newListener', this.#onNewListener);
  }

  readonly #onNewListener = (event: string | symbol): void => {
    if (event === 'SIGTERM' && NEST.test(callers())) this.#areEnabled = true;
  };

  #warn(): void {
    this.#logger.warn(
      'Shutdown hooks are not enabled: when this process is stopped, its locks and its leadership are not handed over ' +
        'but end with their TTL. Call app.enableShutdownHooks() in main.ts. A process that is no replica, such as a ' +
        'console command, is started with DIST_LOCK_OBSERVE_ONLY=1.',
    );
  }
}

function callers(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES;
  const stack = String(new Error('Who listens?').stack);
  Error.stackTraceLimit = limit;
  return stack;
}
