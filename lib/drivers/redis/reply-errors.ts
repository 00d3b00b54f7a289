import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';

/**
 * What a failed command means, decided in this one table. An error reply means that no lease was granted, because
 * granting is the last thing that a script does; a lost connection or a timeout means that nobody knows.
 */
type Meaning =
  /** Not executed; worth trying again. */
  | 'retryable'
  /** Not executed; only a change of configuration helps. */
  | 'configuration'
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
  { pattern: reply('LOADING'), meaning: 'retryable', repair: 'It answers when it has read its data from disk.' },
  { pattern: reply('BUSY'), meaning: 'retryable', repair: 'A script runs for too long: SCRIPT KILL ends it.' },
  { pattern: reply('READONLY'), meaning: 'retryable', repair: 'This server is a replica; connect to the master.' },
  {
    pattern: reply('MASTERDOWN'),
    meaning: 'retryable',
    repair: 'This server is a replica that lost its master; connect to the master.',
  },
  { pattern: reply('NOREPLICAS'), meaning: 'retryable', repair: 'Too few replicas (min-replicas-to-write).' },
  { pattern: reply('OOM'), meaning: 'retryable', repair: 'Redis is out of memory: raise maxmemory or free keys.' },
  { pattern: reply('MISCONF'), meaning: 'retryable', repair: 'Redis cannot save its data: look into its log.' },
  {
    pattern: reply('CLUSTERDOWN'),
    meaning: 'retryable',
    repair: 'The cluster has no master for the slot of this key.',
  },
  { pattern: reply('TRYAGAIN'), meaning: 'retryable', repair: 'The slot of this key is on the move.' },
  {
    pattern: reply('MOVED|ASK'),
    meaning: 'retryable',
    repair: 'This server is one of a cluster: use the `cluster` option of RedisDriver.',
  },
  { pattern: /max number of clients/, meaning: 'retryable', repair: 'Raise maxclients.' },
  { pattern: /isn't writeable|enableOfflineQueue/, meaning: 'retryable' },
  { pattern: /max retries per request/, meaning: 'unknown', repair: 'The connection broke before the answer came.' },
  { pattern: /timed out/i, meaning: 'unknown', repair: 'The server or the network is slow, or does not answer.' },
  {
    // Inside of a script the refusal has no code: the last is that of Redis 7.2 and of Valkey.
    pattern: /(?:^|[-\s])NOPERM\b|user executing the script can't|ACL failure in script/,
    meaning: 'configuration',
    repair: 'Give the Redis user the permissions that the README lists under "Redis permissions".',
  },
  { pattern: reply('NOAUTH|WRONGPASS'), meaning: 'configuration', repair: 'Check username and password.' },
  {
    pattern: reply('WRONGTYPE'),
    meaning: 'configuration',
    repair: 'Something else uses this key: change `namespace`.',
  },
  {
    // A script found a value in which nothing of a lease stands.
    pattern: /Lua redis(?: lib|\.call\(\))? command arguments must be|user_script:\d+: (?:bad argument|attempt to)/,
    meaning: 'configuration',
    repair: 'Something else uses this key: change `namespace`.',
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
    repair: 'The server wants a certificate of its clients: pass `tls: { cert, key }`.',
  },
];

/** The error of this package that fits a failed command. `server` names it without credentials. */
export function classify(error: unknown, server: string): DriverUnavailableError | LockConfigError {
  if (error instanceof DriverUnavailableError || error instanceof LockConfigError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  // ioredis adds the command with all that was sent, the password of an AUTH included.
  if ('command' in cause) delete cause.command;
  const rule = rules.find(({ pattern }) => pattern.test(cause.message));
  const message = [`Redis at ${server}: ${cause.message}`, rule?.repair].filter(Boolean).join(' — ');
  if (rule?.meaning === 'configuration') return new LockConfigError(message, { cause });
  return new DriverUnavailableError(message, { cause, sent: rule?.meaning !== 'retryable' });
}
