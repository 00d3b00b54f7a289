import type { OptionsCheck } from '../../../core/options-check.js';
import { checkClusterOptions, checkRedisOptions } from '../connection/option-values.js';
import { checkUrl } from '../connection/redis-url.js';

type Options = Readonly<Record<string, unknown>>;

/** The options that name the place of the server. Each but `host` and `port` stands alone. */
const PLACES = ['url', 'client', 'cluster', 'sentinels', 'path', 'host', 'port'] as const;

/** These may be undefined or null, as in the defaults of ioredis; then they count as absent. */
const MAY_LACK: ReadonlySet<string> = new Set(['sentinels', 'path', 'host', 'port']);

const EXAMPLES =
  "Pass { url: 'redis://localhost:6379' }, { client: an ioredis client }, { host, port }, { sentinels, name } or " +
  "{ cluster: [{ host: 'localhost', port: 6379 }] }.";

/** @returns the options, where they are right */
export function checkConnection(options: unknown, check: OptionsCheck): Options | undefined {
  if (typeof options === 'string') return fail(check, 'a string is not an options object. Pass { url }.');
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    return fail(check, `expected an object with options. ${EXAMPLES}`);
  }
  if (isClient(options)) return fail(check, 'a client is not an options object. Pass { client }.');
  const known = options as Options;
  const before = check.count;
  refuseKeyPrefix(known, check);
  checkConnector(known, check);
  const [first, ...others] = PLACES.filter((name) => known[name] != null || (name in known && !MAY_LACK.has(name)));
  if (first === undefined) checkRedisOptions(known, check, ['url', 'client', 'cluster']);
  if (first === undefined) return fail(check, `nothing says where the server is. ${EXAMPLES}`);
  if (first === 'url') checkWithUrl(known, check);
  if (first === 'client') checkClient(known, check);
  if (first === 'cluster') checkCluster(known, check);
  if (first === 'sentinels') checkSentinels(known, check);
  if (first === 'path' || first === 'host' || first === 'port') checkRedisOptions(known, check, []);
  if (!['host', 'port'].includes(first) && others.length > 0) {
    const both = `\`${first}\` and \`${others[0]}\` exclude each other`;
    check.problem(`${both}: each says where the server is. Leave out one of them.`);
  }
  return check.count === before ? known : undefined;
}

function fail(check: OptionsCheck, text: string): undefined {
  check.problem(text);
}

/** A client instead of the options: `{ client }` is meant. */
function isClient(value: object): boolean {
  return 'duplicate' in value && typeof value.duplicate === 'function';
}

function checkWithUrl({ url, ...rest }: Options, check: OptionsCheck): void {
  checkRedisOptions(rest, check, []);
  const inUrl = checkUrl(url, check);
  for (const name of inUrl) {
    if (rest[name] === undefined || rest[name] === null) continue;
    check.problem(`\`${name}\`: the URL has this option, too. Leave out one of them.`);
  }
}

function checkClient({ client, ...rest }: Options, check: OptionsCheck): void {
  for (const name of Object.keys(rest)) {
    if ((PLACES as readonly string[]).includes(name)) continue;
    check.problem(`\`${name}\` has no effect beside \`client\`, whose own options count: set it there.`);
  }
  const problem = clientProblem(client);
  if (problem) return check.problem(problem);
  const { options, isCluster } = client as { options: Options; isCluster?: boolean };
  refuseKeyPrefix(options, check);
  if (!isCluster && options['sentinels']) checkGroup(options, check);
}

function clientProblem(client: unknown): string | undefined {
  const expected = '`client` must be an ioredis `Redis` instance, or a `Cluster`';
  if (typeof client !== 'object' || client === null) return `${expected}.`;
  if ('isOpen' in client) return `${expected}; it is one of the package "redis". Pass { url } instead.`;
  const { duplicate, options, status } = client as Options;
  const isIoredis = typeof duplicate === 'function' && typeof status === 'string' && isObject(options);
  return isIoredis ? undefined : `${expected}.`;
}

function checkCluster({ cluster, ...rest }: Options, check: OptionsCheck): void {
  if (!Array.isArray(cluster) || cluster.length === 0 || !cluster.every(isNode)) {
    check.problem("`cluster` must be a list of nodes such as [{ host: 'localhost', port: 6379 }].");
  }
  const beside = ['username', 'password', 'tls', 'db'];
  for (const name of beside) {
    if (!(name in rest)) continue;
    const repair = name === 'db' ? 'leave it out.' : 'put it into `redisOptions`.';
    check.problem(`\`${name}\` has no meaning beside \`cluster\`: ${repair}`);
  }
  checkClusterOptions(rest, check, [...beside, ...PLACES]);
  const { redisOptions } = rest;
  if (typeof redisOptions !== 'object' || redisOptions === null) return;
  checkRedisOptions(redisOptions, check, [], 'redisOptions.');
  checkConnector(redisOptions as Options, check, 'redisOptions.');
  if ('db' in redisOptions && redisOptions.db) {
    check.problem('`redisOptions.db`: a cluster has database 0 only; leave it out.');
  }
}

/** Only our own connector calls functions for the login. */
function checkConnector(options: Options, check: OptionsCheck, path = ''): void {
  if (!options['Connector']) return;
  const asked = ['username', 'password', 'tls'].find((name) => typeof options[name] === 'function');
  if (asked) check.problem(`${path}${asked}: must be a value, since \`Connector\` does not call a function.`);
}

function isNode(node: unknown): boolean {
  if (typeof node === 'string') return node !== '';
  if (typeof node === 'number') return isPort(node);
  if (typeof node !== 'object' || node === null) return false;
  const { host = 'localhost', port = 6379 } = node as Options;
  return typeof host === 'string' && host !== '' && isPort(port);
}

function isPort(port: unknown): boolean {
  const number = typeof port === 'string' && /^\d{1,5}$/.test(port) ? Number(port) : port;
  return Number.isSafeInteger(number) && (number as number) > 0 && (number as number) < 65_536;
}

function checkSentinels(options: Options, check: OptionsCheck): void {
  checkRedisOptions(options, check, ['url', 'client', 'cluster']);
  checkGroup(options, check);
  const { tls, enableTLSForSentinelMode } = options;
  if (tls && enableTLSForSentinelMode === false) {
    check.problem(
      '`tls` is for the masters, but `enableTLSForSentinelMode: false` turns it off: leave out one of them.',
    );
  }
  if (!tls && enableTLSForSentinelMode) {
    check.problem('`enableTLSForSentinelMode` needs `tls`; `tls: {}` trusts the authorities that Node knows.');
  }
}

function checkGroup({ sentinels, name, role }: Options, check: OptionsCheck): void {
  if (
    !Array.isArray(sentinels) ||
    sentinels.length === 0 ||
    !sentinels.every((each) => isNode(each) && isObject(each))
  ) {
    check.problem("`sentinels` must be a list such as [{ host: 'localhost', port: 26379 }].");
  }
  if (!name) check.problem('`name` is missing: how the sentinels call the group of servers, often "mymaster".');
  if (role && role !== 'master') check.problem('`role` must be left out: locks live on the master.');
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function refuseKeyPrefix(options: Options, check: OptionsCheck): void {
  const { keyPrefix, redisOptions } = options as { keyPrefix?: unknown; redisOptions?: { keyPrefix?: unknown } };
  if (keyPrefix || redisOptions?.keyPrefix) {
    check.problem('`keyPrefix` is not supported. Use the `namespace` option of forRoot().');
  }
}
