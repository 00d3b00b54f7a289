import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { reasonOf } from '../connection/reasons.js';
import { UNSETTLED } from '../connection/slots.js';

/**
 * What a failed command means, decided in this one table. An error reply means that no lease was granted, because
 * granting is the last thing that a script does; a lost connection or a timeout means that nobody knows.
 */
type Meaning =
  /** Not executed; worth trying again. */
  | 'retryable'
  /** Not executed; only a change of configuration helps. */
  | 'configuration'
  /** As `configuration`, but worth trying again where names and passwords are functions. */
  | 'login'
  /** Executed, not executed, or executed later. */
  | 'unknown';

interface Rule {
  readonly pattern: RegExp;
  readonly meaning: Meaning;
  readonly repair?: string;
}

// A code stands at the start of the reply, or behind '-' or ': ' where an older server quotes a script's inner error.
const reply = (codes: string): RegExp => new RegExp(`(?:^|[-\\s])(?:${codes})\\b`);

const rules: readonly Rule[] = [
  // A sentinel first: it has options of its own, and its replies have codes of the others.
  {
    pattern: /^sentinel .*\b(?:NOAUTH|WRONGPASS)\b/,
    meaning: 'login',
    repair: 'Check sentinelUsername and sentinelPassword.',
  },
  {
    pattern: /^sentinel .*unknown (?:\w+ )?command/i,
    meaning: 'configuration',
    repair: 'This is a server, no sentinel: pass { host, port } or { url } without `sentinels`.',
  },
  {
    pattern: /^sentinel .*knows no master/,
    meaning: 'retryable',
    repair: 'Check `name`: how the sentinels call the group of servers.',
  },
  {
    pattern: /^sentinel .*speaks TLS/,
    meaning: 'configuration',
    repair: 'Pass `sentinelTLS`; the option `tls` is for the masters.',
  },
  {
    pattern: /^sentinel .*without TLS/,
    meaning: 'configuration',
    repair: 'Leave out `sentinelTLS`; the option `tls` is for the masters.',
  },
  {
    pattern: /^master .*speaks TLS/,
    meaning: 'configuration',
    repair: 'Pass `tls`; the option `sentinelTLS` is for the sentinels.',
  },
  {
    pattern: /^master .*without TLS/,
    meaning: 'configuration',
    repair: 'Leave out `tls`; the option `sentinelTLS` is for the sentinels.',
  },
  {
    pattern: /port speaks TLS/,
    meaning: 'configuration',
    repair: 'Use a rediss: URL, or pass `tls` (on a cluster inside `redisOptions`).',
  },
  {
    pattern: /port speaks Redis without TLS/,
    meaning: 'configuration',
    repair: 'Use a redis: URL, or leave out `tls`.',
  },
  { pattern: /port speaks HTTP/, meaning: 'configuration', repair: 'Check host and port.' },
  {
    pattern: /cluster support disabled/,
    meaning: 'configuration',
    repair: 'This server is no cluster: pass { host, port } or { url } instead of `cluster`.',
  },
  {
    pattern: reply('LOADING'),
    meaning: 'retryable',
    repair: 'The server answers when it has read its data from disk.',
  },
  { pattern: reply('BUSY'), meaning: 'retryable', repair: 'A script runs for too long: SCRIPT KILL ends it.' },
  { pattern: reply('READONLY'), meaning: 'retryable', repair: 'This server is a replica; connect to the master.' },
  {
    pattern: reply('MASTERDOWN'),
    meaning: 'retryable',
    repair: 'This server is a replica that lost its master; connect to the master.',
  },
  {
    pattern: reply('NOREPLICAS'),
    meaning: 'retryable',
    repair: 'Too few replicas are attached: start them again, or lower min-replicas-to-write.',
  },
  { pattern: reply('OOM'), meaning: 'retryable', repair: 'Redis is out of memory: raise maxmemory or free keys.' },
  {
    pattern: reply('MISCONF'),
    meaning: 'retryable',
    repair: 'Redis cannot save its data: the log of the server says why.',
  },
  {
    pattern: reply('CLUSTERDOWN'),
    meaning: 'retryable',
    repair: 'The cluster has no master for the slot of this key: start its node again, or let a replica take over.',
  },
  { pattern: reply('TRYAGAIN'), meaning: 'retryable', repair: UNSETTLED },
  {
    pattern: reply('MOVED|ASK'),
    meaning: 'retryable',
    repair: 'This server is one of a cluster: use the `cluster` option of RedisDriver.',
  },
  {
    pattern: /max number of clients/,
    meaning: 'retryable',
    repair: 'The server takes no further connection: raise maxclients, or close connections that nobody uses.',
  },
  { pattern: /timed out/i, meaning: 'unknown', repair: 'The server or the network is slow, or does not answer.' },
  {
    pattern: /port closes the connection|port accepts connections and does not answer/,
    meaning: 'unknown',
    repair: 'Check host and port.',
  },
  {
    // Inside of a script the refusal has no code: the last is that of Redis 7.2 and of Valkey.
    pattern: /(?:^|[-\s])NOPERM\b|user executing the script can't|ACL failure in script/,
    meaning: 'configuration',
    repair: 'Give the Redis user the permissions that docs/drivers/redis.md lists under "Redis permissions".',
  },
  { pattern: reply('NOAUTH|WRONGPASS'), meaning: 'login', repair: 'Check username and password.' },
  {
    pattern: reply('WRONGTYPE'),
    meaning: 'configuration',
    repair: 'Another application uses this key: change `namespace`.',
  },
  {
    // A script found a value in which nothing of a lease stands.
    pattern: /Lua redis(?: lib|\.call\(\))? command arguments must be|user_script:\d+: (?:bad argument|attempt to)/,
    meaning: 'configuration',
    repair: 'Another application uses this key: change `namespace`.',
  },
  { pattern: reply('CROSSSLOT'), meaning: 'configuration', repair: 'Use the `cluster` option of RedisDriver.' },
  {
    // Of a script's command the name of the server stands in between.
    pattern: /unknown (?:\w+ )?command/i,
    meaning: 'configuration',
    repair: 'Redis 6.2 or later with scripting is needed.',
  },
  {
    pattern: /self.signed certificate|unable to (?:verify the first|get (?:local )?issuer) certificate/,
    meaning: 'configuration',
    repair: "Pass the certificate of the server's CA as `tls: { ca }`.",
  },
  {
    pattern: /does not match certificate's altnames/,
    meaning: 'configuration',
    repair: "Connect by a name of the server's certificate, or pass it as `tls: { servername }`.",
  },
  { pattern: /certificate has expired/, meaning: 'configuration', repair: "Renew the server's certificate." },
  {
    pattern: /alert certificate required/,
    meaning: 'configuration',
    repair: 'The server asks for a certificate of its clients: pass `tls: { cert, key }`.',
  },
];

/** What ioredis says of a command that it did not write. */
export const NOT_WRITTEN = /isn't writeable|isn't ready and enableOfflineQueue/;

/**
 * The error of this package that fits a failed command.
 *
 * @param server names it without credentials
 * @param loginRotates whether a login that was refused may be accepted later
 * @param repair instead of that of the table
 */
export function classify(
  error: unknown,
  server: string,
  loginRotates = false,
  repair?: string,
): DriverUnavailableError | LockConfigError {
  if (error instanceof DriverUnavailableError || error instanceof LockConfigError) return error;
  const cause = reasonOf(error);
  if (!cause) return broken(error, server);
  const rule = rules.find(({ pattern }) => pattern.test(cause.message));
  const message = [`Redis at ${server}: ${cause.message}`, repair ?? rule?.repair].filter(Boolean).join(' — ');
  const isFinal = rule?.meaning === 'configuration' || (rule?.meaning === 'login' && !loginRotates);
  if (isFinal) return new LockConfigError(message, { cause });
  return new DriverUnavailableError(message, {
    cause,
    sent: !(rule?.meaning === 'retryable' || rule?.meaning === 'login'),
  });
}

/** Nobody said why: the connection ended, before the command was written or after. */
function broken(error: unknown, server: string): DriverUnavailableError {
  const wasWritten = !(error instanceof Error && NOT_WRITTEN.test(error.message));
  const what = wasWritten ? 'the connection broke before the answer came.' : 'the connection is broken.';
  return new DriverUnavailableError(`Redis at ${server}: ${what}`, { sent: wasWritten });
}
