import { createConnection, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { detached } from '../../../core/detached.js';

/** What a port says that gave a client no clear answer. */
interface Heard {
  readonly text: string;
  /** Whether the other side hung up. */
  readonly closed: boolean;
}

/**
 * Asks a port what it is, without credentials. A server that refuses a connection says why and hangs up; a client that
 * writes at once often notices the hang-up only. So this first listens, then says PING, then tries a TLS handshake.
 *
 * @param limit milliseconds for all of it
 * @returns a sentence for the operator, or undefined where nothing was found
 */
export async function probe(at: NetConnectOpts, usesTls: boolean, limit: number): Promise<string | undefined> {
  const heard = await listen(at, limit / 2);
  if (!heard) return undefined;
  const { text, closed } = heard;
  const refusal = /^-(.*max number of clients.*|DENIED.*|LOADING.*|MASTERDOWN.*|BUSY .*)/m.exec(text)?.[1]?.trim();
  const isRedis = /^[-+]/.test(text);
  if (isRedis && usesTls) return refusal?.includes('max number') ? refusal : 'This port speaks Redis without TLS.';
  if (isRedis) return refusal;
  if (text.startsWith('HTTP/')) return 'This port speaks HTTP, not Redis.';
  if (usesTls) return undefined;
  // An alert of TLS, or a hang-up without a word: it did not like plain text.
  if (text.startsWith('\x15') || closed) {
    return (await speaksTls(at, limit / 2))
      ? 'This port speaks TLS.'
      : 'This port closes the connection and sends nothing.';
  }
  return text === '' ? 'This port accepts connections and does not answer.' : undefined;
}

function listen(at: NetConnectOpts, limit: number): Promise<Heard | undefined> {
  return talk(createConnection(at), limit, (socket, done) => {
    let text = '';
    let isConnected = false;
    socket.on('connect', () => {
      isConnected = true;
      detached(() => setTimeout(() => socket.destroyed || socket.write('PING\r\n'), limit / 4));
    });
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
      if (/[\r\n]/.test(text) || text.startsWith('\x15')) done({ text, closed: false });
    });
    socket.on('close', () => done(isConnected ? { text, closed: true } : undefined));
    return () => done(isConnected ? { text, closed: false } : undefined);
  });
}

async function speaksTls(at: NetConnectOpts, limit: number): Promise<boolean> {
  const answer = await talk<boolean>(connectTls({ ...at, rejectUnauthorized: false }), limit, (socket, done) => {
    socket.on('secureConnect', () => done(true));
    socket.on('error', (error: NodeJS.ErrnoException) => done(/ALERT/.test(error.code ?? '')));
    return () => done(false);
  });
  return answer ?? false;
}

/** @param follow hears the socket, and returns what to do when the time is up */
function talk<T>(
  socket: Socket,
  limit: number,
  follow: (socket: Socket, done: (result: T | undefined) => void) => () => void,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    const done = (result: T | undefined): void => {
      clearTimeout(timer);
      resolve(result);
      socket.destroy();
    };
    const timeUp = follow(socket, done);
    const timer = detached(() => setTimeout(timeUp, limit));
  });
}
