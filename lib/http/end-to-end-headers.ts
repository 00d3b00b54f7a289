import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';

/** Headers of one connection (RFC 9110 §7.6.1). */
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

/** The headers that are meant for the other end; those that came more than once as lists. */
export function endToEnd({ headersDistinct }: Pick<IncomingMessage, 'headersDistinct'>): OutgoingHttpHeaders {
  const ofConnection = (headersDistinct['connection'] ?? []).flatMap((value) => value.split(','));
  const dropped = new Set([...HOP_BY_HOP, ...ofConnection.map((name) => name.trim().toLowerCase())]);
  const headers: OutgoingHttpHeaders = {};
  for (const [name, values = []] of Object.entries(headersDistinct)) {
    // HTTP/2 has the parts of the request line among its headers.
    if (dropped.has(name) || name.startsWith(':')) continue;
    headers[name] = values.length === 1 ? values[0] : values;
  }
  return headers;
}
