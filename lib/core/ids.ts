import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

/** An unguessable id of one holder of one lease. Never used again once its release or cancel was sent. */
export function newHolder(): string {
  return randomUUID();
}

/** The default id of an instance: readable for people, unique for every start of a process. */
export function newInstanceId(): string {
  return `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
}
