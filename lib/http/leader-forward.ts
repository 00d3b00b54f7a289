/**
 * Sends a request on to the leader, and passes the answer of the leader back. Body and answer are streams: nothing is
 * collected in memory, unless a body parser has done so before.
 *
 * Not covered: upgrades, such as WebSockets. A request is sent once; nothing here repeats it.
 */
import { type IncomingMessage, type OutgoingHttpHeaders, request, type ServerResponse } from 'node:http';
import { request as secureRequest } from 'node:https';
import { pipeline } from 'node:stream';
import type { Milliseconds } from '../core/duration.js';
import { forwardedBody, type ParsedRequest } from './forwarded-body.js';
import type { LeaderTarget } from './leader-url.js';

/** Marks a forwarded request. The value is the election whose leader the sender took this instance for. */
export const FORWARDED = 'x-dist-lock-forwarded';

/** Headers that concern one connection only (RFC 9110 §7.6.1). */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];
/** Headers that each sender of a request sets itself. */
const OF_THE_SENDER = ['host', 'expect', 'http2-settings'];
/** Idle time after which TCP probes the connection, so that a leader whose machine vanished is noticed. */
const KEEP_ALIVE: Milliseconds = 10_000;

/** The leader did not begin to answer. */
export class ForwardError extends Error {
  constructor(
    /** 503: the request was not sent. 502 and 504: the leader may have executed the request. */
    readonly statusCode: 502 | 503 | 504,
    cause: Error,
  ) {
    super(`The leader did not answer: ${cause.message}`, { cause });
  }
}

export interface Forwarding {
  readonly target: LeaderTarget;
  readonly election: string;
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly parsed: ParsedRequest;
  /** Time for which the leader may be silent before its answer begins. */
  readonly timeout: Milliseconds;
}

/**
 * Sends a request on to the leader. Resolves when the answer begins. When the client goes away, the request to the
 * leader ends, too.
 *
 * Each request has a connection of its own. A server may close a connection that was kept open in the moment of its
 * next use (nodejs/node#47130). The sender could not find out whether the request was executed.
 *
 * @throws ForwardError when no answer begins; LockConfigError when the body cannot be sent a second time
 */
export async function forward(forwarding: Forwarding): Promise<IncomingMessage> {
  const { target, election, incoming, outgoing, parsed, timeout } = forwarding;
  const headers: OutgoingHttpHeaders = { ...endToEnd(incoming), ...originOf(incoming), [FORWARDED]: election };
  for (const name of OF_THE_SENDER) delete headers[name];
  const body = forwardedBody(incoming, parsed, headers);
  const send = target.base.protocol === 'https:' ? secureRequest : request;
  const upstream = send(target.base, { path: target.path, method: incoming.method, headers, agent: false, timeout });
  outgoing.once('close', () => upstream.destroy());
  return new Promise((resolve, reject) => {
    let status: 502 | 503 | 504 = 503;
    upstream.once('socket', (socket) => {
      socket.setKeepAlive(true, KEEP_ALIVE);
      socket.once('connect', () => (status = 502));
    });
    upstream.once('timeout', () => {
      status = 504;
      upstream.destroy(new Error(`The leader sent nothing for ${timeout} ms.`));
    });
    upstream.once('response', (answer) => {
      upstream.setTimeout(0);
      resolve(answer);
    });
    // `on`, not `once`: the answer may begin before the whole body was sent, and sending the rest then fails.
    upstream.on('error', (error) => reject(new ForwardError(status, error)));
    if (body === incoming) incoming.pipe(upstream);
    else upstream.end(body);
  });
}

/** Passes an answer back while it arrives. An answer that breaks off also breaks off for the client. */
export function relay(answer: IncomingMessage, outgoing: ServerResponse): void {
  outgoing.statusCode = answer.statusCode!;
  for (const [name, value] of Object.entries(endToEnd(answer))) outgoing.setHeader(name, value!);
  // At once: the first event of an event stream may come much later.
  outgoing.flushHeaders();
  pipeline(answer, outgoing, () => undefined);
}

/** The headers that are meant for the other end. A header that came more than once is a list. */
export function endToEnd({ headersDistinct }: Pick<IncomingMessage, 'headersDistinct'>): OutgoingHttpHeaders {
  const ofConnection = (headersDistinct['connection'] ?? []).flatMap((value) => value.split(','));
  const dropped = new Set([...HOP_BY_HOP, ...ofConnection.map((name) => name.trim().toLowerCase())]);
  const headers: OutgoingHttpHeaders = {};
  for (const [name, values = []] of Object.entries(headersDistinct)) {
    // HTTP/2 has the parts of the request line among the headers, such as `:path`.
    if (dropped.has(name) || name.startsWith(':')) continue;
    headers[name] = values.length === 1 ? values[0] : values;
  }
  return headers;
}

/** The client and the address that it used, in the headers of proxies. Values of a proxy in front of us are kept. */
function originOf({ headers, socket }: IncomingMessage): OutgoingHttpHeaders {
  const via = headers['x-forwarded-for'];
  const { remoteAddress = 'unknown' } = socket;
  return {
    'x-forwarded-for': via === undefined ? remoteAddress : `${via.toString()}, ${remoteAddress}`,
    'x-forwarded-host': headers['x-forwarded-host'] ?? headers.host ?? headers[':authority'],
    'x-forwarded-proto': headers['x-forwarded-proto'] ?? ('encrypted' in socket ? 'https' : 'http'),
  };
}
