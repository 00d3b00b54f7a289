import { createConnection, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../../../core/clock.js';

/** The answer of a port that gave a client no clear answer. */
interface Heard {
  readonly text: string;
  /** The other side ended the connection. */
  readonly closed: boolean;
}

/**
 * Finds out what listens at a port, without credentials. A server that refuses a connection sends the reason and ends the
 * connection. A client that writes at once often sees only the end. So the probe has three steps: listen, send PING, try a
 * TLS handshake.
 *
 * @param limit milliseconds for all steps
 * @returns a sentence for the operator, or undefined where nothing was found
 */
export async function probe(
  at: NetConnectOpts,
  usesTls: boolean,
  limit: number,
  clock: Clock,
): Promise<string | undefined> {
  const heard = await listen(at, limit / 2, clock);
  if (!heard) return undefined;
  const { text, closed } = heard;
  const refusal = /^-(.*max number of clients.*|DENIED.*|LOADING.*|MASTERDOWN.*|BUSY .*)/m.exec(text)?.[1]?.trim();
  const isRedis = /^[-+]/.test(text);
  if (isRedis && usesTls) return refusal?.includes('max number') ? refusal : 'This port speaks Redis without TLS.';
  if (isRedis) return refusal;
  if (text.startsWith('HTTP/')) return 'This port speaks HTTP, not Redis.';
  if (usesTls) return undefined;
  // An alert of TLS, or an end without an answer: the port does not take plain text.
  if (text.startsWith('\x15') || closed) {
    return (await speaksTls(at, limit / 2, clock))
      ? 'This port speaks TLS.'
      : 'This port closes the connection and sends nothing.';
  }
  return text === '' ? 'This port accepts connections and does not answer.' : undefined;
}

function listen(at: NetConnectOpts, limit: number, clock: Clock): Promise<Heard | undefined> {
  return talk(createConnection(at), limit, clock, (socket, done) => {
    let text = '';
    let isConnected = false;
    socket.on('connect', () => {
      isConnected = true;
      clock.after(limit / 4, () => socket.destroyed || socket.write('PING\r\n'), true);
    });
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
      if (/[\r\n]/.test(text) || text.startsWith('\x15')) done({ text, closed: false });
    });
    socket.on('close', () => done(isConnected ? { text, closed: true } : undefined));
    return () => done(isConnected ? { text, closed: false } : undefined);
  });
}

async function speaksTls(at: NetConnectOpts, limit: number, clock: Clock): Promise<boolean> {
  const answer = await talk<boolean>(connectTls({ ...at, rejectUnauthorized: false }), limit, clock, (socket, done) => {
    socket.on('secureConnect', () => done(true));
    socket.on('error', (error: NodeJS.ErrnoException) => done(/ALERT/.test(error.code ?? '')));
    return () => done(false);
  });
  return answer ?? false;
}

/** @param follow listens to the socket, and returns the action for the end of the time */
function talk<T>(
  socket: Socket,
  limit: number,
  clock: Clock,
  follow: (socket: Socket, done: (result: T | undefined) => void) => () => void,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    const done = (result: T | undefined): void => {
      timer.cancel();
      resolve(result);
      socket.destroy();
    };
    const timeUp = follow(socket, done);
    const timer = clock.after(limit, timeUp, true);
  });
}
