import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { LockConfigError } from '../core/errors.js';

/** What a body parser of Express or Fastify has left on a request. */
export interface ParsedRequest {
  readonly body?: unknown;
  /** With Nest's `rawBody: true`: the body byte for byte. */
  readonly rawBody?: Buffer;
}

/**
 * The body of a request that is sent a second time, or null where it has none. Guards run after the body parser, which
 * leaves nothing in a stream that it has read: a body that nobody has read, such as an upload, is passed on as it
 * comes; one that was kept byte for byte; JSON, forms and text are written anew, which keeps what they mean.
 *
 * @param headers of the request; changed to describe the body
 * @throws LockConfigError when the body has been read and cannot be written anew
 */
export function forwardedBody(
  incoming: IncomingMessage,
  { body, rawBody }: ParsedRequest,
  headers: OutgoingHttpHeaders,
): IncomingMessage | Buffer | null {
  if (!hasBody(incoming)) return null;
  if (!incoming.readableDidRead && !incoming.readableEnded) {
    if (headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked';
    return incoming;
  }
  const content = rawBody ?? written(incoming.headers['content-type'] ?? '', body, headers);
  headers['content-length'] = content.length;
  // Whoever read it has decompressed it.
  delete headers['content-encoding'];
  return content;
}

function hasBody({ headers, httpVersionMajor, method, readableDidRead, readableEnded }: IncomingMessage): boolean {
  if (readableEnded && !readableDidRead) return false;
  // Its frames say so, not its headers.
  if (httpVersionMajor > 1) return method !== 'GET' && method !== 'HEAD';
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function written(contentType: string, body: unknown, headers: OutgoingHttpHeaders): Buffer {
  if (Buffer.isBuffer(body)) return body;
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase();
  const text = asText(type, body);
  if (text === undefined) {
    throw new LockConfigError(
      `@LeaderOnly({ otherwise: 'forward' }): the body of type "${type}" was read before the guard ran and cannot be ` +
        'written again. Create the application with { rawBody: true }, or read such a body in the handler or an interceptor.',
    );
  }
  headers['content-type'] = inUtf8(contentType);
  return Buffer.from(text);
}

/** Whatever charset the content type names, if it names one. */
function inUtf8(contentType: string): string {
  const isCharset = (parameter: string): boolean => parameter.split('=', 1)[0]!.trim().toLowerCase() === 'charset';
  const parameters = contentType.split(';');
  return parameters.map((parameter) => (isCharset(parameter) ? ' charset=utf-8' : parameter)).join(';');
}

function asText(type: string, body: unknown): string | undefined {
  if (/[/+]json$/.test(type)) return JSON.stringify(body);
  if (type === 'application/x-www-form-urlencoded' && typeof body === 'object' && body !== null) return asForm(body);
  return typeof body === 'string' ? body : undefined;
}

/** Nested fields get the names that Express's form parser reads: `a[b]=1`, `c[0]=2`; lists of plain values repeat theirs. */
function asForm(body: object): string {
  const form = new URLSearchParams();
  const add = (name: string, value: unknown): void => {
    const isList = Array.isArray(value) && value.every((entry) => typeof entry !== 'object');
    if (isList) value.forEach((entry) => form.append(name, String(entry)));
    else if (typeof value === 'object' && value !== null) {
      for (const [key, entry] of Object.entries(value)) add(`${name}[${key}]`, entry);
    } else form.append(name, String(value));
  };
  for (const [name, value] of Object.entries(body)) add(name, value);
  return form.toString();
}
