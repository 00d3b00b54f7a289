import type { Redis } from 'ioredis';

/**
 * ioredis hears the first error of a socket only. One that is closed in a TLS handshake which fails has a second, and
 * an error that nobody hears ends the process.
 */
export function hearAllErrors(client: Redis): void {
  client.on('error', () => client.stream?.on('error', () => undefined));
}
