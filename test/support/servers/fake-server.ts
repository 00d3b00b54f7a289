import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** Listens on loopback and treats each connection as it is told, for servers that no real one plays reliably. */
export class FakeServer {
  readonly port: number;
  readonly close: () => Promise<void>;

  private constructor(port: number, close: () => Promise<void>) {
    this.port = port;
    this.close = close;
  }

  static async start(treat: (socket: Socket) => void): Promise<FakeServer> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
      treat(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FakeServer((server.address() as AddressInfo).port, async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    });
  }
}
