import { LockConfigError } from '../core/errors.js';
import type {
  Claim,
  DriverEvent,
  Granted,
  LeaseRef,
  LockDriver,
  LockRecord,
  PlaceOutcome,
  PlaceRef,
  Queued,
  Refused,
  RenewOutcome,
  TokenBlock,
} from '../core/lock-driver.js';

/**
 * The answers and events of a driver, checked against the port: a lock must not rest on a fencing token that is no
 * number, nor on a TTL that nobody asked for. One place for all drivers, those of this package and others.
 */

/** A driver breaks its contract. The request may have been executed. */
export class DriverAnswerError extends LockConfigError {
  constructor(
    driver: string,
    readonly call: string,
    wrong: string,
  ) {
    super(
      `Driver "${driver}": ${call} answered ${wrong}. Correct the driver, or use another one; driverContract() of ` +
        'nestjs-dist-lock/testing finds what it does wrong.',
    );
  }
}

export type Fields = Readonly<Record<string, unknown>>;

const EVENTS: readonly unknown[] = [
  'freed',
  'granted',
  'contended',
  'up',
  'down',
  'warning',
] satisfies DriverEvent['type'][];

/** @throws DriverAnswerError */
export function checkedAnswer(driver: LockDriver, claim: Claim, answer: unknown): Granted | Refused | Queued {
  const wrong = isObject(answer) ? wrongAnswer(answer, claim) : show(answer);
  if (wrong !== undefined) throw new DriverAnswerError(driver.name, 'acquire()', wrong);
  return answer as Granted | Refused | Queued;
}

/** @throws DriverAnswerError */
export function checkedOutcomes(
  driver: LockDriver,
  leases: readonly LeaseRef[],
  outcomes: unknown,
): readonly RenewOutcome[] {
  const wrong = wrongOutcomes(leases.length, outcomes, isRenewal);
  if (wrong !== undefined) throw new DriverAnswerError(driver.name, 'renew()', wrong);
  return outcomes as readonly RenewOutcome[];
}

/** @throws DriverAnswerError */
export function checkedPlaces(
  driver: LockDriver,
  places: readonly PlaceRef[],
  outcomes: unknown,
): readonly PlaceOutcome[] {
  const wrong = wrongOutcomes(places.length, outcomes, isPlace);
  if (wrong !== undefined) throw new DriverAnswerError(driver.name, 'keepPlaces()', wrong);
  return outcomes as readonly PlaceOutcome[];
}

/** @throws DriverAnswerError */
export function checkedBlock(driver: LockDriver, block: unknown): TokenBlock | null {
  if (block === null) return null;
  const wrong = isObject(block) ? wrongTokens(block) : show(block);
  if (wrong !== undefined) throw new DriverAnswerError(driver.name, 'reserve()', wrong);
  return block as unknown as TokenBlock;
}

/** @throws DriverAnswerError */
export function checkedRecord(driver: LockDriver, record: unknown): LockRecord | null {
  const wrong = wrongRecord(record);
  if (wrong !== undefined) throw new DriverAnswerError(driver.name, 'inspect()', wrong);
  return record as LockRecord | null;
}

/** @throws DriverAnswerError */
export function checkEvent(driver: LockDriver, event: unknown): void {
  const wrong = isObject(event) ? wrongEvent(event) : show(event);
  if (wrong !== undefined) throw new DriverAnswerError(driver.name, 'an event', wrong);
}

function wrongAnswer(answer: Fields, { ttl }: Claim): string | undefined {
  const { status } = answer;
  if (status === 'refused' || status === 'queued') {
    const wrong = wrongRecord(answer['record']);
    return wrong && `record: ${wrong}`;
  }
  if (status !== 'granted') return `status: ${show(status)}`;
  return wrongGrant(answer, ttl);
}

function wrongEvent(event: Fields): string | undefined {
  const { type } = event;
  if (!EVENTS.includes(type)) return `type: ${show(type)}`;
  const isOfKey = type === 'freed' || type === 'granted' || type === 'contended';
  if (isOfKey && typeof event['key'] !== 'string') return `key: ${show(event['key'])}`;
  if (type === 'down' && !(event['cause'] instanceof Error)) return `cause: ${show(event['cause'])}`;
  if (type === 'warning' && typeof event['message'] !== 'string') return `message: ${show(event['message'])}`;
  return type === 'granted' ? wrongGrant(event, Infinity) : undefined;
}

function wrongGrant(grant: Fields, longest: number): string | undefined {
  const { ttl, waiters } = grant;
  const wrong = wrongTokens(grant);
  if (wrong !== undefined) return wrong;
  if (!isTime(ttl) || ttl === 0 || ttl > longest) return `ttl: ${show(ttl)}`;
  return isCount(waiters) ? undefined : `waiters: ${show(waiters)}`;
}

function wrongTokens({ fencingToken, tokens }: Fields): string | undefined {
  if (!isCount(fencingToken) || fencingToken === 0) return `fencingToken: ${show(fencingToken)}`;
  const isBlock = isCount(tokens) && tokens > 0 && fencingToken <= Number.MAX_SAFE_INTEGER - (tokens - 1);
  return isBlock ? undefined : `tokens: ${show(tokens)}`;
}

function wrongOutcomes(count: number, outcomes: unknown, fits: (outcome: unknown) => boolean): string | undefined {
  if (!Array.isArray(outcomes)) return show(outcomes);
  if (outcomes.length !== count) return `${outcomes.length} outcomes for ${count} leases`;
  const wrong: unknown[] = outcomes.filter((outcome: unknown) => !fits(outcome));
  return wrong.length === 0 ? undefined : `an outcome of ${show(wrong[0])}`;
}

function isRenewal(outcome: unknown): boolean {
  if (isObject(outcome)) return isCount(outcome['waiters']);
  return outcome === 'held' || outcome === 'gone' || outcome === 'unknown';
}

function isPlace(outcome: unknown): boolean {
  if (!isObject(outcome)) return outcome === 'ask';
  const { remaining, record } = outcome;
  return (
    typeof remaining === 'number' && (record === undefined || (record !== null && wrongRecord(record) === undefined))
  );
}

/** The remaining time is a hint, whatever the number: of a lease that never ends there is none. */
function wrongRecord(record: unknown): string | undefined {
  if (record === null) return undefined;
  if (!isObject(record)) return show(record);
  const { holder, instance, fencingToken, since, remaining, metadata, waiters } = record;
  if (typeof holder !== 'string') return `holder: ${show(holder)}`;
  if (typeof instance !== 'string') return `instance: ${show(instance)}`;
  if (!isCount(fencingToken) || fencingToken === 0) return `fencingToken: ${show(fencingToken)}`;
  if (typeof remaining !== 'number') return `remaining: ${show(remaining)}`;
  if (!isObject(metadata)) return `metadata: ${show(metadata)}`;
  if (typeof since !== 'number' || !Number.isFinite(since)) return `since: ${show(since)}`;
  return isCount(waiters) ? undefined : `waiters: ${show(waiters)}`;
}

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

export function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Objects are not shown: they may be large, or hold secrets. */
function show(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  return typeof value === 'function' ? 'a function' : String(value);
}
