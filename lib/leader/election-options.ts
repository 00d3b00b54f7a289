import type { Duration, Milliseconds } from '../core/duration.js';
import type { TtlRange } from '../core/lock-driver.js';
import type { OptionsCheck } from '../core/options-check.js';
import { electionStoreKey, membersScope, NAMESPACE } from '../core/store-key.js';
import { driftMargin } from '../core/validity.js';
import type { ElectionSettings } from './election-settings.js';

export const DEFAULT_ELECTION = 'default';

/**
 * One election. The names, rules and defaults of its timings are those of `LeaderElectionConfig` in client-go
 * (k8s.io/client-go/tools/leaderelection): `leaseDuration` > `renewDeadline` > 1.2 × `retryPeriod`. Beyond client-go,
 * `renewDeadline` ends 102 ms and 1 % of `leaseDuration` before the lease, at least, so that a leader stops in time even
 * where the clocks drift.
 */
export interface ElectionOptions {
  /**
   * Letters, digits, `_`, `.` and `-`. Each election of a registration has a name of its own.
   *
   * @defaultValue `default`
   */
  name?: string;
  /**
   * Only instances with the same namespace elect a leader among them.
   *
   * @defaultValue the namespace of the registration
   */
  namespace?: string;
  /**
   * The time after the last renewal for which the other instances wait before one of them may lead.
   *
   * @defaultValue 15 s
   */
  leaseDuration?: Duration;
  /**
   * The time for which a leader leads without a successful renewal.
   *
   * @defaultValue 10 s, or two thirds of `leaseDuration`
   */
  renewDeadline?: Duration;
  /**
   * The time between two renewals, and between two attempts to become the leader.
   *
   * @defaultValue 2 s, or a fifth of `renewDeadline`
   */
  retryPeriod?: Duration;
  /**
   * True: the instance takes part in the election from the start. False: it takes part after `campaign()`.
   *
   * @defaultValue true
   */
  autoCampaign?: boolean;
  /**
   * True: a leader hands its lease over at shutdown. False: the lease runs out, and nobody leads until then.
   *
   * @defaultValue true
   */
  releaseOnShutdown?: boolean;
  /**
   * An integer. At a hand-over the waiting instance with the highest priority leads next. Best effort: a store that is
   * slow does not delay the hand-over. A priority never replaces a leader, and does not change who leads after a leader
   * died.
   *
   * @defaultValue 0
   */
  priority?: number;
}

/** Settings that the elections of a registration share. */
export interface ElectionDefaults {
  readonly namespace: string;
  readonly ttlRange: TtlRange;
  readonly grace: Milliseconds;
  /** The instance takes part in no election. */
  readonly observeOnly: boolean;
}

const SECOND: Milliseconds = 1000;

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

/** @param path the place of the options, such as `elections[0]`; empty where they are the whole argument */
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

/** The rules of `NewLeaderElector` in client-go, and the margin for clocks that drift. */
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
