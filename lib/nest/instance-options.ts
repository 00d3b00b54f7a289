import { newInstanceId } from '../core/ids.js';
import type { OptionsCheck } from '../core/options-check.js';
import { acceptedUrls, type Origin, originPattern } from '../leader/accepted-urls.js';
import type { InstanceInfo } from '../leader/leadership.js';
import { VISIBLE } from '../leader/peer-records.js';

/** As `instance` of `DistLockModuleOptions` says. */
interface InstanceOptions {
  id?: string;
  url?: string;
  allowedUrls?: readonly string[];
  metadata?: Record<string, string>;
}

/** The environment variable that makes an observer of a process without a change of its code. */
const OBSERVE_ONLY = 'DIST_LOCK_OBSERVE_ONLY';

/** The option, or the switch of the environment: either one is enough. */
export function resolveObserveOnly(check: OptionsCheck, observeOnly = false): boolean {
  check.ofType(observeOnly, 'observeOnly', 'boolean');
  const value = process.env[OBSERVE_ONLY] ?? '';
  const isOn = value === '1' || value === 'true';
  if (!isOn && value !== '' && value !== '0' && value !== 'false') {
    check.problem(`${OBSERVE_ONLY}=${value}: expected 1, or 0.`);
  }
  return isOn || observeOnly;
}

export function resolveInstance(check: OptionsCheck, options: InstanceOptions | undefined): InstanceInfo {
  const known = ['id', 'url', 'allowedUrls', 'metadata'] as const;
  const { id = newInstanceId(), url, allowedUrls = [], metadata = {} } = check.object(options, 'instance', known);
  check.ofType(id, 'instance.id', 'string');
  check.ofType(url, 'instance.url', 'string');
  for (const [option, value] of Object.entries({ id, url })) {
    if (typeof value !== 'string' || VISIBLE.test(value)) continue;
    check.problem(`instance.${option}: must be visible ASCII characters.`);
  }
  if (typeof url === 'string' && hasCredentials(url)) {
    check.problem('instance.url: must hold no user name or password, since clients see it.');
  }
  check.metadata(metadata, 'instance.metadata');
  return { id, url, metadata, acceptsUrl: acceptedUrls(url, resolveAllowedUrls(check, allowedUrls)) };
}

function resolveAllowedUrls(check: OptionsCheck, allowedUrls: unknown): Origin[] {
  if (!Array.isArray(allowedUrls)) {
    check.problem("instance.allowedUrls: expected a list such as ['http://localhost:*'].");
    return [];
  }
  return allowedUrls.flatMap((text: unknown, index) => {
    const origin = typeof text === 'string' ? originPattern(text) : undefined;
    if (origin) return [origin];
    check.problem(
      `instance.allowedUrls[${index}]: expected scheme, host and port, such as 'http://10.0.0.1:3000', ` +
        "'https://*.example.com:8443' or 'http://localhost:*'.",
    );
    return [];
  });
}

function hasCredentials(url: string): boolean {
  const { username, password } = URL.canParse(url) ? new URL(url) : { username: '', password: '' };
  return username !== '' || password !== '';
}
