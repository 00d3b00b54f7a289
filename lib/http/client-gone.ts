import { IncomingMessage } from 'node:http';
import { Http2ServerRequest, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { HttpException } from '@nestjs/common';

type Connection = Pick<Socket | ServerHttp2Stream, 'destroyed' | 'once' | 'off'>;

/** What nginx calls a request whose client did not wait for the answer. */
const CLIENT_CLOSED_REQUEST = 499;

/**
 * Waits for something on behalf of the client whose request is among the arguments (`@Req()`), until it hangs up.
 *
 * @param wait is given the signal that aborts then, or undefined where there is no request, and what ends it
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

/** Below a request of Fastify there is one of Node, as `raw`. */
function connectionOf(args: readonly unknown[]): Connection | undefined {
  for (const argument of args) {
    if (typeof argument !== 'object' || argument === null) continue;
    const request = 'raw' in argument ? argument.raw : argument;
    if (request instanceof IncomingMessage) return request.socket;
    if (request instanceof Http2ServerRequest) return request.stream;
  }
  return undefined;
}
