import type { Duration } from '../core/duration.js';
import type { TtlRange } from '../core/lock-driver.js';
import type { OptionsCheck } from '../core/options-check.js';
import { electionStoreKey, membersScope, NAMESPACE } from '../core/store-key.js';
import { driftMargin } from '../core/validity.js';
import type { ElectionSettings } from './election-settings.js';

/** Timings as in client-go's leaderelection: lease duration > renew deadline > retry period. */
export interface ElectionOptions {
  /** Letters, digits, `_`, `.` and `-`; no two of a registration share one. Default: `default`. */
  name?: string;
  /** Only instances with the same one elect a leader among them. Default: the namespace of the registration. */
  namespace?: string;
  /** How long others wait after the last renewal before one of them may lead. Default: 15 s. */
  leaseDuration?: Duration;
  /** How long a leader leads without a successful renewal. Default: 10 s, or two thirds of `leaseDuration`. */
  renewDeadline?: Duration;
  /** Time between two renewals, and between two tries to become leader. Default: 2 s, or a fifth of `renewDeadline`. */
  retryPeriod?: Duration;
  /** Takes part in the election from the start. Default: true. */
  autoCampaign?: boolean;
  /** Hands the lease over at shutdown instead of letting it run out. Default: true. */
  releaseOnShutdown?: boolean;
  /**
   * An integer. Of those that wait at a hand-over the highest leads next; a leader is never replaced because of it, nor
   * is the order of a fail-over changed. Best effort. Default: 0.
   */
  priority?: number;
}

/** What the elections of a registration have in common. Durations are milliseconds. */
export interface ElectionDefaults {
  readonly namespace: string;
  readonly ttlRange: TtlRange;
  readonly grace: number;
  /** The instance takes part in no election. */
  readonly observeOnly: boolean;
}

const SECOND = 1000;

export function resolveElections(
  check: OptionsCheck,
  elections: ElectionOptions[] = [{}],
  defaults: ElectionDefaults,
): ElectionSettings[] {
  if (!Array.isArray(elections)) {
    check.problem("elections: expected an array, such as [{ name: 'reports' }].");
    return [];
  }
  const resolved = elections.map((options, index) => resolveElection(check, options, `elections[${index}]`, defaults));
  resolved.forEach(({ name: election }, index) => {
    if (resolved.findIndex((other) => other.name === election) === index) return;
    check.problem(`elections[${index}].name: "${election}" is taken. Give each election a name of its own.`);
  });
  return resolved;
}

/** @param path of the options, empty where they are the whole argument */
export function resolveElection(
  check: OptionsCheck,
  given: ElectionOptions,
  path: string,
  { namespace: common, ttlRange, grace, observeOnly }: ElectionDefaults,
): ElectionSettings {
  const at = (option: string): string => (path ? `${path}.${option}` : option);
  const options = check.object(given, path, [
    'name',
    'namespace',
    'leaseDuration',
    'renewDeadline',
    'retryPeriod',
    'autoCampaign',
    'releaseOnShutdown',
    'priority',
  ]);
  const { name = DEFAULT_ELECTION, namespace = common, autoCampaign = true, releaseOnShutdown = true } = options;
  for (const [option, value] of Object.entries({ name, namespace })) {
    if (typeof value === 'string' && NAMESPACE.test(value)) continue;
    check.problem(`${at(option)}: ${JSON.stringify(value)} may hold letters, digits, '_', '.' and '-' only.`);
  }
  check.ofType(autoCampaign, at('autoCampaign'), 'boolean');
  check.ofType(releaseOnShutdown, at('releaseOnShutdown'), 'boolean');
  const { priority = 0 } = options;
  if (!Number.isSafeInteger(priority)) check.problem(`${at('priority')}: expected an integer.`);

  const leaseDuration = check.ttl(options.leaseDuration, at('leaseDuration'), 15 * SECOND, ttlRange);
  const deadline = Math.floor((leaseDuration * 2) / 3);
  const renewDeadline = check.duration(options.renewDeadline, at('renewDeadline'), deadline);
  const retryPeriod = check.duration(options.retryPeriod, at('retryPeriod'), Math.floor(renewDeadline / 5));
  const timings = { leaseDuration, renewDeadline, retryPeriod };
  checkTimings(check, path ? `${path}: ` : '', timings);
  return {
    ...timings,
    name,
    storeKey: electionStoreKey(namespace, name),
    membersScope: membersScope(namespace, name),
    autoCampaign: autoCampaign && !observeOnly,
    releaseOnShutdown,
    priority,
    grace,
    observeOnly,
  };
}

type Timings = Pick<ElectionSettings, 'leaseDuration' | 'renewDeadline' | 'retryPeriod'>;

function checkTimings(check: OptionsCheck, at: string, { leaseDuration, renewDeadline, retryPeriod }: Timings): void {
  const longestDeadline = leaseDuration - driftMargin(leaseDuration) - 100;
  if (renewDeadline > longestDeadline) {
    check.problem(
      `${at}renewDeadline (${renewDeadline} ms) must be at most ${longestDeadline} ms with a leaseDuration of ` +
        `${leaseDuration} ms, so that a leader stops before its lease can end.`,
    );
  }
  if (renewDeadline <= 1.2 * retryPeriod) {
    check.problem(
      `${at}renewDeadline (${renewDeadline} ms) must be more than 1.2 × retryPeriod (${retryPeriod} ms), so that ` +
        'a renewal can be tried again.',
    );
  }
}
export const DEFAULT_ELECTION = 'default';
