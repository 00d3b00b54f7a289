/** Errors of ioredis without a reason: the reason is in another error, or in none. */
const TELLS_NOTHING = new RegExp(
  [
    "isn't writeable",
    "isn't ready and enableOfflineQueue",
    'Connection is closed',
    'None of startup nodes',
    'Failed to refresh slots cache',
    'max retries per request',
    'Command aborted due to connection close',
    'Connection is (?:aborted|discarded)',
    'Cluster is (?:disconnected|disconnecting|ended)',
    'Node is disconnected',
    'sentinels are unreachable',
    '^timeout$',
  ].join('|'),
);

/** Errors that name the way in which a connection ended, and no reason. */
const VAGUE = new RegExp(
  [
    'ECONNRESET|EPIPE|ETIMEDOUT|ECONNABORTED',
    'timed out|Socket timeout',
    'Protocol error|Unknown RESP type',
    'socket disconnected',
    'wrong version number|packet length too long|record layer|SSL routines',
  ].join('|'),
  'i',
);

/** Causes that are followed: an error may be its own cause. */
const DEPTH = 8;

/**
 * The error with the reason of a failure; undefined where there is none. Node keeps it in `errors` of an attempt at several
 * addresses, ioredis in `lastNodeError`, others in `cause`.
 */
export function reasonOf(error: unknown, depth = 0): Error | undefined {
  if (depth > DEPTH || error === undefined || error === null) return undefined;
  if (!(error instanceof Error))
    return new Error(typeof error === 'string' ? error : 'something that is no error was thrown');
  // ioredis adds the command with its arguments: of AUTH that is the password.
  if ('command' in error) delete error.command;
  const { errors, lastNodeError, code } = error as Error & {
    errors?: unknown;
    lastNodeError?: unknown;
    code?: unknown;
  };
  if (Array.isArray(errors)) {
    const texts = errors.flatMap((each: unknown) => reasonOf(each, depth + 1)?.message ?? []);
    if (texts.length > 0) return new Error([...new Set(texts)].join(', '), { cause: error });
  }
  if (error.message !== '' && !TELLS_NOTHING.test(error.message)) return error;
  const inner = reasonOf(lastNodeError, depth + 1) ?? reasonOf(error.cause, depth + 1);
  if (inner) return inner;
  return error.message === '' && typeof code === 'string' ? new Error(code, { cause: error }) : undefined;
}

/** True for a reason that only names the way in which a connection ended: a probe of the port may find more. */
export function isVague(reason: Error | undefined): boolean {
  return reason === undefined || VAGUE.test(reason.message);
}
