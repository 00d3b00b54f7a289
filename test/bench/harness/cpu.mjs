// Pinning a process to a CPU, where the system can: on one CPU the wake-up of another one is not part of a latency.
import { execFileSync } from 'node:child_process';

/** The number of a CPU that processes can be pinned to, or undefined. */
export function pinnableCpu() {
  try {
    // "pid 1234's current affinity list: 0-3,6"; the last one is the least likely to serve interrupts.
    const list = execFileSync('taskset', ['-cp', String(process.pid)], { encoding: 'utf8' });
    const cpu = Number(/(\d+)\s*$/.exec(list)[1]);
    execFileSync('taskset', ['-c', String(cpu), 'true']);
    return cpu;
  } catch {
    return undefined;
  }
}

/** The command line that runs a command on this CPU only; undefined: on all. */
export function pinned(cpu, command) {
  return cpu === undefined ? command.map(String) : ['taskset', '-c', ...[cpu, ...command].map(String)];
}
