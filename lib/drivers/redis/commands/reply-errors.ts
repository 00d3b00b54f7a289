import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { reasonOf } from '../connection/reasons.js';
import { UNSETTLED } from '../connection/slots.js';

/**
 * The meaning of a failed command, decided in one table.
 *
 * 1. An error reply means that no lease was granted, because the grant is the last step of each script.
 * 2. A lost connection or a timeout has an unknown outcome: executed, not executed, or executed later.
 */
type Meaning =
  /** Not executed; worth another try. */
  | 'retryable'
  /** Not executed; only a change of configuration helps. */
  | 'configuration'
  /** As `configuration`, but worth another try where names and passwords are functions. */
  | 'login'
  /** Executed, not executed, or executed later. */
  | 'unknown';

interface Rule {
  readonly pattern: RegExp;
  readonly meaning: Meaning;
  readonly repair: string;
}

// A code stands at the start of the reply. Where Redis before 7 quotes a script's inner error, it stands behind '-' or ': '.
const reply = (codes: string): RegExp => new RegExp(`(?:^|[-\\s])(?:${codes})\\b`);

const rules: readonly Rule[] = [
  // Sentinels first: their replies have the same codes, and other options repair them.
  login(/^sentinel .*\b(?:NOAUTH|WRONGPASS)\b/, 'Check sentinelUsername and sentinelPassword.'),
  configuration(
    /^sentinel .*unknown (?:\w+ )?command/i,
    'This is a server, no sentinel: pass { host, port } or { url } without `sentinels`.',
  ),
  retryable(/^sentinel .*knows no master/, 'Check `name`: how the sentinels call the group of servers.'),
  configuration(/^sentinel .*speaks TLS/, 'Pass `sentinelTLS`; the option `tls` is for the masters.'),
  configuration(/^sentinel .*without TLS/, 'Leave out `sentinelTLS`; the option `tls` is for the masters.'),
  configuration(/^master .*speaks TLS/, 'Pass `tls`; the option `sentinelTLS` is for the sentinels.'),
  configuration(/^master .*without TLS/, 'Leave out `tls`; the option `sentinelTLS` is for the sentinels.'),
  configuration(/port speaks TLS/, 'Use a rediss: URL, or pass `tls` (on a cluster inside `redisOptions`).'),
  configuration(/port speaks Redis without TLS/, 'Use a redis: URL, or leave out `tls`.'),
  configuration(/port speaks HTTP/, 'Check host and port.'),
  configuration(
    /cluster support disabled/,
    'This server is no cluster: pass { host, port } or { url } instead of `cluster`.',
  ),
  retryable(reply('LOADING'), 'The server answers when it has read its data from disk.'),
  retryable(reply('BUSY'), 'A script runs for too long: SCRIPT KILL ends it.'),
  retryable(reply('READONLY'), 'This server is a replica; connect to the master.'),
  retryable(reply('MASTERDOWN'), 'This server is a replica that lost its master; connect to the master.'),
  retryable(reply('NOREPLICAS'), 'Too few replicas are attached: start them again, or lower min-replicas-to-write.'),
  retryable(reply('OOM'), 'Redis is out of memory: raise maxmemory or free keys.'),
  retryable(reply('MISCONF'), 'Redis cannot save its data: the log of the server says why.'),
  retryable(
    reply('CLUSTERDOWN'),
    'The cluster has no master for the slot of this key: start its node again, or let a replica take over.',
  ),
  retryable(reply('TRYAGAIN'), UNSETTLED),
  retryable(reply('MOVED|ASK'), 'This server is one of a cluster: use the `cluster` option of RedisDriver.'),
  retryable(
    /max number of clients/,
    'The server takes no further connection: raise maxclients, or close connections that nobody uses.',
  ),
  unknown(/timed out/i, 'The server or the network is slow, or does not answer.'),
  unknown(/port closes the connection|port accepts connections and does not answer/, 'Check host and port.'),
  // The refusal of a command inside of a script has no code. The last text is that of Redis 7.2 and of Valkey.
  configuration(
    /(?:^|[-\s])NOPERM\b|user executing the script can't|ACL failure in script/,
    'Give the Redis user the permissions that docs/drivers/redis.md lists under "Redis permissions".',
  ),
  login(reply('NOAUTH|WRONGPASS'), 'Check username and password.'),
  configuration(reply('WRONGTYPE'), 'Another application uses this key: change `namespace`.'),
  // A script read a value that is no lease.
  configuration(
    /Lua redis(?: lib|\.call\(\))? command arguments must be|user_script:\d+: (?:bad argument|attempt to)/,
    'Another application uses this key: change `namespace`.',
  ),
  configuration(reply('CROSSSLOT'), 'Use the `cluster` option of RedisDriver.'),
  // Inside of a script the name of the server stands between the words.
  configuration(/unknown (?:\w+ )?command/i, 'Redis 6.2 or later with scripting is needed.'),
  configuration(
    /self.signed certificate|unable to (?:verify the first|get (?:local )?issuer) certificate/,
    "Pass the certificate of the server's CA as `tls: { ca }`.",
  ),
  configuration(
    /does not match certificate's altnames/,
    "Connect by a name of the server's certificate, or pass it as `tls: { servername }`.",
  ),
  configuration(/certificate has expired/, "Renew the server's certificate."),
  configuration(
    /alert certificate required/,
    'The server asks for a certificate of its clients: pass `tls: { cert, key }`.',
  ),
];

/** The error of ioredis for a command that it did not write. */
export const NOT_WRITTEN = /isn't writeable|isn't ready and enableOfflineQueue/;

/**
 * The error of this package for a failed command.
 *
 * @param server its name, without credentials
 * @param loginRotates a login that was refused may be accepted later
 * @param repair instead of the one in the table
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

function retryable(pattern: RegExp, advice: string): Rule {
  return { pattern, meaning: 'retryable', repair: advice };
}

function configuration(pattern: RegExp, advice: string): Rule {
  return { pattern, meaning: 'configuration', repair: advice };
}

function login(pattern: RegExp, advice: string): Rule {
  return { pattern, meaning: 'login', repair: advice };
}

function unknown(pattern: RegExp, advice: string): Rule {
  return { pattern, meaning: 'unknown', repair: advice };
}

/** The connection ended without a reason, before the command was written or after. */
function broken(error: unknown, server: string): DriverUnavailableError {
  const wasWritten = !(error instanceof Error && NOT_WRITTEN.test(error.message));
  const what = wasWritten ? 'the connection broke before the answer came.' : 'the connection is broken.';
  return new DriverUnavailableError(`Redis at ${server}: ${what}`, { sent: wasWritten });
}
