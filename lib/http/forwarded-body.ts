import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { LockConfigError } from '../core/errors.js';

/** The properties that the body parser of Express or Fastify adds to a request. */
export interface ParsedRequest {
  readonly body?: unknown;
  /** The body byte for byte, with `rawBody: true` of Nest. */
  readonly rawBody?: Buffer;
}

/**
 * The body of a request that is sent a second time, or null where the request has none. Nest runs guards after the body
 * parser, and a stream that the parser has read is empty. So the body is the first of these:
 *
 * 1. The stream, where nobody has read it: an upload, for example.
 * 2. The bytes that Nest kept, with `rawBody: true`.
 * 3. The parsed body, written again: JSON, forms and text. The meaning stays the same; the bytes may differ.
 *
 * @param headers of the request; changed to describe the body
 * @throws LockConfigError when the body was read and cannot be written again
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
  // The body parser has decompressed the body.
  delete headers['content-encoding'];
  return content;
}

function hasBody({ headers, httpVersionMajor, method, readableDidRead, readableEnded }: IncomingMessage): boolean {
  if (readableEnded && !readableDidRead) return false;
  // HTTP/2 shows a body by its frames. No header has to announce the body.
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

/** The content type with the charset of the text that is written. A content type without a charset stays as it is. */
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

/**
 * Nested fields get the names that the form parser of Express (qs) reads: `a[b]=1`, `c[0][d]=2`. A list of plain values
 * repeats its name.
 */
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
