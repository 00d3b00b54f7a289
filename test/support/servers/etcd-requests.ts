import type { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { type MockInstance, vi } from 'vitest';
import { EtcdConnection } from '../../../lib/drivers/etcd/client/connection.js';
import type { Calls } from '../../../lib/drivers/etcd/client/messages.js';

export type EtcdRequest = { [C in keyof Calls]: { name: C; message: Calls[C]['request'] } }[keyof Calls];

/**
 * Passes each request of one driver to `answer`, until the returned spy is restored. The requests of other drivers are
 * left alone: they may be sent at any time, such as by a waiter that hears of a release before the holder is answered.
 */
export function intercept(
  driver: EtcdDriver,
  answer: (request: EtcdRequest, send: () => Promise<unknown>) => Promise<unknown>,
): MockInstance<EtcdConnection['call']> {
  const connection = connectionOf(driver);
  const call = connection.call.bind(connection);
  return vi
    .spyOn(connection, 'call')
    .mockImplementation(
      (name, message, timeout) =>
        answer({ name, message } as EtcdRequest, () => call(name, message, timeout)) as ReturnType<typeof call>,
    );
}

function connectionOf(driver: EtcdDriver): EtcdConnection {
  const calls = vi.spyOn(EtcdConnection.prototype, 'call');
  calls.mockReturnValueOnce(Promise.resolve({ header: { revision: 1, raftTerm: 1 }, kvs: [], count: 0 }));
  void driver.inspect('test:l:nothing');
  const [connection] = calls.mock.contexts;
  calls.mockRestore();
  return connection as EtcdConnection;
}
