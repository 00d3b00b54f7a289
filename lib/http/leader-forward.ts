import { type IncomingMessage, type OutgoingHttpHeaders, request, type ServerResponse } from 'node:http';
import { request as secureRequest } from 'node:https';
import { pipeline } from 'node:stream';
import { endToEnd } from './end-to-end-headers.js';
import { forwardedBody, type ParsedRequest } from './forwarded-body.js';
import type { LeaderTarget } from './leader-url.js';

/** Marks a request that another instance has forwarded; its value is the election of which this one was the leader. */
export const FORWARDED = 'x-dist-lock-forwarded';

/** Headers that are decided anew by whoever sends the request. */
const OF_THE_SENDER = ['host', 'expect', 'http2-settings'];
/** How soon it is noticed that a leader has vanished while it was answering, in milliseconds. */
const KEEP_ALIVE = 10_000;

/** No answer of the leader has begun. */
export class ForwardError extends Error {
  constructor(
    /** 503: never sent. 502 and 504: the leader may have executed it. */
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
  /** Milliseconds for which the leader may be silent before its answer begins. */
  readonly timeout: number;
}

/**
 * Sends a request on to the leader and resolves when its answer begins. Each has a connection of its own: one that was
 * kept open may be closed in the moment of its use, and nobody could tell whether the request was executed. When the
 * client goes away the request to the leader ends, too.
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
    // Stays: when the answer comes before all of the body was sent, sending the rest fails.
    upstream.on('error', (error) => reject(new ForwardError(status, error)));
    if (body === incoming) incoming.pipe(upstream);
    else upstream.end(body);
  });
}

/** Passes an answer back as it comes. Where it breaks off, so does what the client gets. */
export function relay(answer: IncomingMessage, outgoing: ServerResponse): void {
  outgoing.statusCode = answer.statusCode!;
  for (const [name, value] of Object.entries(endToEnd(answer))) outgoing.setHeader(name, value!);
  // At once: the first event of a stream may be long in coming.
  outgoing.flushHeaders();
  pipeline(answer, outgoing, () => undefined);
}

/** Who sent the request and to whom, as proxies tell; what a proxy before us has told is kept. */
function originOf({ headers, socket }: IncomingMessage): OutgoingHttpHeaders {
  const via = headers['x-forwarded-for'];
  const { remoteAddress = 'unknown' } = socket;
  return {
    'x-forwarded-for': via === undefined ? remoteAddress : `${via.toString()}, ${remoteAddress}`,
    'x-forwarded-host': headers['x-forwarded-host'] ?? headers.host ?? headers[':authority'],
    'x-forwarded-proto': headers['x-forwarded-proto'] ?? ('encrypted' in socket ? 'https' : 'http'),
  };
}
