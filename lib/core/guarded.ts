/**
 * A listener or logger of the application, for calls from inside of the engine: one that throws ends neither a tick of
 * the watchdog nor a campaign. The error is emitted as a warning of the process, once for each message.
 */
export function guarded<Args extends unknown[]>(
  what: string,
  listener: (...args: Args) => void,
): (...args: Args) => void {
  return (...args) => {
    try {
      listener(...args);
    } catch (error) {
      warnOnce(`nestjs-dist-lock: ${what} threw: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}

/** The number of different messages that are remembered. */
const REMEMBERED = 100;
const warned = new Set<string>();

function warnOnce(message: string): void {
  if (warned.has(message)) return;
  if (warned.size === REMEMBERED) warned.clear();
  warned.add(message);
  process.emitWarning(message);
}
