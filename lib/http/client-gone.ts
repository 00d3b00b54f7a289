import { IncomingMessage } from 'node:http';
import { Http2ServerRequest, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { HttpException } from '@nestjs/common';

type Connection = Pick<Socket | ServerHttp2Stream, 'destroyed' | 'once' | 'off'>;

/** The status that nginx logs when a client closes its connection before the answer. HTTP has none for this case. */
const CLIENT_CLOSED_REQUEST = 499;

/**
 * Waits on behalf of a client until the client closes its connection. The request is found among the arguments of the
 * route handler (`@Req()`), of Express or Fastify, with HTTP/1 or HTTP/2.
 *
 * Not covered:
 * - a handler that does not take the request. Its wait goes on when the client is gone.
 * - a proxy that keeps its connection open after its own client is gone.
 *
 * @param wait gets a signal that aborts when the client is gone, or undefined where no argument is a request. It also
 *   gets a function that ends the watch early.
 */
export async function whileClientIsThere<T>(
  args: readonly unknown[],
  wait: (signal: AbortSignal | undefined, done: () => void) => Promise<T>,
): Promise<T> {
  const connection = connectionOf(args);
  if (!connection) return wait(undefined, () => undefined);
  const gone = new AbortController();
  const hangUp = (): void => gone.abort(new HttpException('The client has gone.', CLIENT_CLOSED_REQUEST));
  const done = (): void => void connection.off('close', hangUp);
  if (connection.destroyed) hangUp();
  else connection.once('close', hangUp);
  try {
    return await wait(gone.signal, done);
  } finally {
    done();
  }
}

/** The socket, not the request: since Node.js 16 a request closes once its body was read (nodejs/node#38924). */
function connectionOf(args: readonly unknown[]): Connection | undefined {
  for (const argument of args) {
    if (typeof argument !== 'object' || argument === null) continue;
    // A request of Fastify has the request of Node.js as `raw`.
    const request = 'raw' in argument ? argument.raw : argument;
    if (request instanceof IncomingMessage) return request.socket;
    if (request instanceof Http2ServerRequest) return request.stream;
  }
  return undefined;
}
