import type { Redis } from 'ioredis';
import type { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import type { ScriptCall } from '../commands/script-call.js';

/** Where commands go: one server, the master that Sentinel names, or the masters of a cluster. */
export interface Servers {
  /** For messages; never credentials. */
  readonly name: string;
  /** Since the latest connection no attempt to connect has failed, and no call was refused. */
  readonly isUp: boolean;
  /** The reason why it is not up. */
  unreachable(): DriverUnavailableError | LockConfigError;
  /** Rejects when the first attempt fails, within `limit` milliseconds. More attempts follow until `close`. */
  connect(limit: number): Promise<unknown>;
  /** Rejects with an error of this package. Sends a command once, and again only if it was certainly not executed. */
  run(call: ScriptCall): Promise<unknown>;
  /** A new connection, not open yet, to a server that gets all published messages. Undefined while none is known. */
  openSubscriber(): Redis | undefined;
  /**
   * Resolves with true when the connection leads to where commands go, so that scripts see its subscriptions and their
   * messages reach it. Also true where nobody can answer that. `channel` has no other subscriber.
   */
  hasSubscriber(client: Redis, channel: string): Promise<boolean>;
  close(): void;
}

export interface ServersListener {
  /** A connection for commands to one server, before it connects. `returns`: it is connected again when it ends. */
  opened(client: Redis, server: string, returns?: boolean): void;
  /** A connection ended; a new one may lead to another server. */
  lost(): void;
  /** `isUp` may have changed. */
  changed(): void;
  /** Another server may have taken over: grants, places in queues and messages may be lost. */
  replaced(): void;
}
