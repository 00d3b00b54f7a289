import { describe, expect, it } from 'vitest';
import { useClosing, useTopology } from '../../support/servers/use-topology.js';

const log: string[] = [];

class Server {
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
    log.push(`start ${port}`);
  }

  get port(): number {
    return this.#port;
  }

  portPlus(more: number): number {
    return this.#port + more;
  }

  async stop(): Promise<void> {
    log.push(`stop ${this.#port}`);
  }
}

describe('useTopology', () => {
  let early: unknown;

  describe('in a block', () => {
    const server = useTopology(async () => new Server(1));
    const servers = useTopology(async () => [new Server(2), new Server(3)]);
    const closing = useClosing();
    try {
      void server.port;
    } catch (error) {
      early = error;
    }

    it('stands for one server', () => {
      expect([server.port, server.portPlus(1)]).toEqual([1, 2]);
      closing.push(
        () => log.push('close first'),
        () => log.push('close last'),
      );
    });

    it('stands for a list of servers', () => {
      expect([...servers].map(({ port }) => port)).toEqual([2, 3]);
      expect(servers[1]!.portPlus(1)).toBe(4);
    });
  });

  it('starts once, closes after each test, and stops after the block', () => {
    const starts = ['start 1', 'start 2', 'start 3'];
    expect(log).toEqual([...starts, 'close last', 'close first', 'stop 2', 'stop 3', 'stop 1']);
  });

  it('says that nothing has started', () => {
    expect(String(early)).toBe('Error: Not started: read "port" in a test or a hook.');
  });
});
