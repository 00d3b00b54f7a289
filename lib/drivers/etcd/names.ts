import { namespaceOf } from '../../core/store-key.js';
import type { KeyRange } from './client/messages.js';

/**
 * The layout of the keys. All begin with `namespace:`, so one role with that prefix is enough:
 *
 *     <lock>/<holder>         a claim in the queue of a lock; the oldest is the holder's
 *     <namespace>:i:<inbox>   the latest note to an instance
 *     <scope>/<id>            a fact of the fact store
 *     <scope>%n/<id>          a number of the fact store
 *
 * The name in front of '/' has no '/' itself, and each '%' in it begins an encoded character. So no range reaches into
 * another one.
 */
function encoded(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('/', '%2F');
}

/** All keys below a name. '0' is the character after '/'. */
export function below(name: string): Required<KeyRange> {
  return { key: `${encoded(name)}/`, rangeEnd: `${encoded(name)}0` };
}

/** The queue of a lock, the oldest key first. */
export function inOrder(lock: string) {
  return { ...below(lock), sortOrder: 'ASCEND', sortTarget: 'CREATE' } as const;
}

export function claimKey(lock: string, holder: string): string {
  return `${encoded(lock)}/${holder}`;
}

export function inboxKey(name: string, inbox: string): string {
  return `${namespaceOf(name)}:i:${inbox}`;
}

export function factKey(scope: string, id: string): string {
  return `${encoded(scope)}/${id}`;
}

export function numberKey(scope: string, id: string): string {
  return `${encoded(scope)}%n/${id}`;
}
