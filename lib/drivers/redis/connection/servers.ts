import type { Redis } from 'ioredis';
import type { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import type { ScriptCall } from '../commands/script-call.js';

/** What commands are sent to: one server, the master that Sentinel names, or the masters of a cluster. */
export interface Servers {
  /** For messages; never credentials. */
  readonly name: string;
  /** No attempt to connect has failed, and no call was refused, since it was connected last. */
  readonly isUp: boolean;
  /** Why it is not up. */
  unreachable(): DriverUnavailableError | LockConfigError;
  /** Rejects when the first attempt fails, within `limit` milliseconds; further attempts go on until `close`. */
  connect(limit: number): Promise<unknown>;
  /** Rejects with an error of this package. A command is sent once; where it was certainly not executed, maybe again. */
  run(call: ScriptCall): Promise<unknown>;
  /** What Redis calls this run of the server. @throws LockConfigError where there are several */
  identity(): Promise<string>;
  /** A connection of its own, not yet connected, to a server that hears what is published; none while none is known. */
  openSubscriber(): Redis | undefined;
  /**
   * Whether it is connected to where commands go, so that scripts see it and all that they publish reaches it. `channel`
   * is one that nobody else subscribes to. True as well where that cannot be told.
   */
  hasSubscriber(client: Redis, channel: string): Promise<boolean>;
  close(): void;
}

export interface ServersListener {
  /** A connection for commands to one server, before it connects. `returns`: it is connected again when it ends. */
  opened(client: Redis, server: string, returns?: boolean): void;
  /** The connection ended; a new one may lead to another server. */
  lost(): void;
  /** `isUp` may have changed. */
  changed(): void;
  /** Another server may have taken over: what was granted, queued or published may be lost. */
  replaced(): void;
}
