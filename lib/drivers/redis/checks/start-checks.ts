import type { Redis } from 'ioredis';
import type { Clock } from '../../../core/clock.js';
import { LockConfigError } from '../../../core/errors.js';
import { classify } from '../commands/reply-errors.js';
import { ClockStep } from './clock-step.js';
import { makesRdbFiles, missingPermissions } from './permissions.js';
import { evictionWarning, parseInfo, persistenceWarning, refuseOldVersion, refuseSentinel } from './server-info.js';

/**
 * Checks each server when a connection to it becomes ready.
 *
 * Warns of settings that break locks one day: eviction, no persistence, a missing permission, a clock that was set. Each
 * warning is given once and names the repair. The checks need no permission beyond those that docs/drivers/redis.md lists, and skip
 * facts that this user may not read.
 *
 * Refuses three servers on which locks only seem to work: a sentinel, a server that is too old, and a server whose
 * database cannot be selected, where ioredis goes on in database 0.
 */
export class StartChecks {
  /** The reason why no lock may be taken; of the first server that was refused. */
  refusal: LockConfigError | undefined;
  readonly #refusals = new Map<Redis, LockConfigError>();
  readonly #warn: (message: string) => void;
  readonly #clock: Clock;
  readonly #watched = new Map<Redis, string>();
  readonly #steps = new Map<Redis, ClockStep>();
  #isLooking = false;
  readonly #namespaces = new Set<string>();
  readonly #said = new Set<string>();
  #latest: Promise<void> = Promise.resolve();

  constructor(warn: (message: string) => void, clock: Clock) {
    this.#warn = warn;
    this.#clock = clock;
  }

  /**
   * @param client sends commands to one server; not connected yet
   * @param server its name, without credentials
   * @param returns the client is connected again when it ends
   */
  watch(client: Redis, server: string, returns = false): void {
    const step = new ClockStep(this.#clock);
    let unselected: LockConfigError | undefined;
    this.#watched.set(client, server);
    this.#steps.set(client, step);
    client.on('connect', () => (unselected = undefined));
    client.on('error', (error: Error & { command?: { name?: string } }) => {
      if (error.command?.name !== 'select') return;
      unselected = refuseDatabase(error, client, server);
      this.#judge(client, unselected);
    });
    client.on('ready', () => {
      this.#latest = this.#look(client, server, step, () => unselected);
      for (const namespace of this.#namespaces) void this.#lookAtPermissions(client, server, namespace);
    });
    client.on('end', () => {
      if (returns) return;
      this.#watched.delete(client);
      this.#steps.delete(client);
      this.#judge(client, undefined);
    });
  }

  /** Resolves when the server that became ready last was checked. @throws LockConfigError when a server is refused */
  async passed(): Promise<void> {
    await this.#latest;
    if (this.refusal) throw this.refusal;
  }

  /** Locks of this namespace are taken from now on: checks their permissions. */
  uses(namespace: string): void {
    this.#namespaces.add(namespace);
    for (const [client, server] of this.#watched) {
      if (client.status === 'ready') void this.#lookAtPermissions(client, server, namespace);
    }
  }

  /** Resolves with true when the clock of a server went ahead since the last look; false while a look is under way. */
  async clockWentAhead(): Promise<boolean> {
    if (this.#isLooking) return false;
    this.#isLooking = true;
    const looks = [...this.#watched].map(([client, server]) => this.#lookAtClock(client, server));
    const jumps = await Promise.all(looks);
    this.#isLooking = false;
    return jumps.some((jump) => jump > 0);
  }

  /** Callers go on without the subscription, so only this warning reports the refusal. */
  subscriptionFailed(error: Error, server: string): void {
    const reason = classify(error, server);
    if (!(reason instanceof LockConfigError)) return;
    this.#say(
      `${reason.message} The user lacks +subscribe or its channels: a waiter finds out late that a lock is free.`,
    );
  }

  subscriberStrayed(server: string): void {
    this.#say(
      `Redis at ${server}: this address leads to several servers, and the connection that listens gets to another one ` +
        'than commands do. A waiter finds out late that a lock is free. Let the address lead to the primary only.',
    );
  }

  async #look(client: Redis, server: string, step: ClockStep, unselected: () => LockConfigError | undefined) {
    const sentAt = this.#clock.now();
    const info = await client.info().then(parseInfo, () => undefined);
    if (!this.#watched.has(client)) return;
    const unfit = info ? (refuseSentinel(info, server) ?? refuseOldVersion(info, server)) : this.#refusals.get(client);
    const refusal = unselected() ?? unfit;
    this.#judge(client, refusal);
    if (!info || refusal) return;
    const time = Number(info.get('server_time_usec')) / 1000;
    if (!Number.isNaN(time)) this.#say(stepWarning(step.look(time, sentAt), server));
    this.#say(evictionWarning(info, server));
    const isSaved = await makesRdbFiles(client).catch(() => undefined);
    this.#say(persistenceWarning(info, isSaved, server));
  }

  async #lookAtClock(client: Redis, server: string): Promise<number> {
    if (client.status !== 'ready') return 0;
    const sentAt = this.#clock.now();
    const answer = await client.time().catch(() => undefined);
    const step = this.#steps.get(client);
    if (!answer || !step) return 0;
    const [seconds, microseconds] = answer.map(Number) as [number, number];
    const jump = step.look(seconds * 1000 + microseconds / 1000, sentAt);
    this.#say(stepWarning(jump, server));
    return jump;
  }

  #judge(client: Redis, refusal: LockConfigError | undefined): void {
    if (refusal) this.#refusals.set(client, refusal);
    else this.#refusals.delete(client);
    [this.refusal] = this.#refusals.values();
  }

  async #lookAtPermissions(client: Redis, server: string, namespace: string): Promise<void> {
    const missing = await missingPermissions(client, namespace).catch((error: unknown) => {
      const isRefused = classify(error, server) instanceof LockConfigError;
      return isRefused ? ['+eval'] : [];
    });
    if (missing.length === 0) return;
    this.#say(
      `Redis at ${server}: the user lacks permissions for the locks of "${namespace}". ` +
        `Grant ${missing.join(' ')}, as docs/drivers/redis.md says under "Redis permissions".`,
    );
  }

  #say(message: string | undefined): void {
    if (message === undefined || this.#said.has(message)) return;
    this.#said.add(message);
    this.#warn(message);
  }
}

function refuseDatabase(cause: Error, client: Redis, server: string): LockConfigError {
  return new LockConfigError(
    `Redis at ${server}: database ${client.options.db} cannot be used: ${cause.message}. ` +
      'Grant +select to the user, or use database 0 and a `namespace`.',
    { cause },
  );
}

function stepWarning(jump: number, server: string): string | undefined {
  if (jump === 0) return undefined;
  const seconds = `${(Math.abs(jump) / 1000).toFixed(1)} s`;
  return (
    `Redis at ${server}: its clock went ${jump > 0 ? `${seconds} ahead` : `back by ${seconds}`} since the last look at it. ` +
    `${jump > 0 ? 'Leases ended early, and may have been granted twice' : 'Leases last longer, and fencing tokens may repeat where its data was lost'}. ` +
    'Let its clock be slewed, not set (NTP), and after a fail-over see that all servers agree.'
  );
}
