import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Adds to the wall clock the milliseconds that are in the file $SHIM_FILE, and leaves the monotonic clock alone. */
const SOURCE = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long long *file;
static long long offset(void) {
  if (!file) file = mmap(0, 8, PROT_READ, MAP_SHARED, open(getenv("SHIM_FILE"), O_RDONLY), 0);
  return *file;
}
int clock_gettime(clockid_t clock, struct timespec *t) {
  int result = syscall(SYS_clock_gettime, clock, t);
  if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += offset() / 1000;
  return result;
}
int gettimeofday(struct timeval *tv, void *zone) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  tv->tv_sec = t.tv_sec;
  tv->tv_usec = t.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *out) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (out) *out = t.tv_sec;
  return t.tv_sec;
}
`;

/** The clock of a process that is started with `env`; it can be set while the process runs. */
export class ClockShim {
  readonly env: NodeJS.ProcessEnv;
  readonly #folder = mkdtempSync(join(tmpdir(), 'clock-shim-'));

  private constructor() {
    const library = join(this.#folder, 'shim.so');
    writeFileSync(join(this.#folder, 'shim.c'), SOURCE);
    execFileSync('gcc', ['-shared', '-fPIC', '-O2', '-o', library, join(this.#folder, 'shim.c')], { stdio: 'pipe' });
    writeFileSync(this.#offsetFile, Buffer.alloc(8));
    this.env = { LD_PRELOAD: library, SHIM_FILE: this.#offsetFile };
  }

  /** Undefined, and said aloud, where there is no compiler for it. */
  static create(): ClockShim | undefined {
    try {
      execFileSync('gcc', ['--version'], { stdio: 'pipe' });
    } catch {
      console.warn('There is no gcc: no clock of a server is set in this test.');
      return undefined;
    }
    return new ClockShim();
  }

  /** @param milliseconds ahead of the real clock; whole seconds */
  set(milliseconds: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(milliseconds));
    // In place: the process has the file mapped.
    writeFileSync(this.#offsetFile, bytes, { flag: 'r+' });
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }

  get #offsetFile(): string {
    return join(this.#folder, 'offset');
  }
}
