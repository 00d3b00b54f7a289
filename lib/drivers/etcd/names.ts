import { namespaceOf } from '../../core/store-key.js';
import type { KeyRange } from './client/messages.js';

/**
 * The layout of the keys, all of which begin with `namespace:`, so that one role with that prefix suffices:
 *
 *     <lock>/<holder>         a place in the line of a lock; the oldest is the holder's
 *     <namespace>:i:<inbox>   the latest note to an instance
 *     <scope>/<id>            a fact of the fact store
 *     <scope>%n/<id>          a number of the fact store
 *
 * The name in front of '/' has no '/' itself, and no '%' but those that encode one, so that no range reaches into
 * another.
 */
function encoded(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('/', '%2F');
}

/** Everything below a name; '0' comes right after '/'. */
export function below(name: string): Required<KeyRange> {
  return { key: `${encoded(name)}/`, rangeEnd: `${encoded(name)}0` };
}

/** The places of a lock, the oldest first. */
export function inOrder(lock: string) {
  return { ...below(lock), sortOrder: 'ASCEND', sortTarget: 'CREATE' } as const;
}

export function placeKey(lock: string, holder: string): string {
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
