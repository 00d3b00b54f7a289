import { Command } from 'ioredis';
import { DriverUnavailableError } from '../../../core/errors.js';

/** The repair for a redirection that leads nowhere. */
export const UNSETTLED =
  'A slot is half-way from one node to another, or the nodes do not agree on its owner: run `redis-cli --cluster fix`.';

/** The slot of a key in a cluster. */
export function slotOf(key: string): number {
  return new Command('get', [key]).getSlot();
}

/** Asks once for each group of keys; the answers come in the order of `refs`. */
export async function askEach<Ref extends { readonly key: string }, Answer>(
  refs: readonly Ref[],
  groupOf: (key: string) => number,
  ask: (group: readonly Ref[]) => Promise<readonly Answer[]>,
): Promise<readonly Answer[]> {
  const groups = new Map<number, Ref[]>();
  for (const ref of refs) {
    const members = groups.get(groupOf(ref.key));
    if (members) members.push(ref);
    else groups.set(groupOf(ref.key), [ref]);
  }
  const answers = new Map<Ref, Answer>();
  const askGroup = async (group: readonly Ref[]): Promise<void> => {
    const replies = await ask(group);
    group.forEach((ref, index) => answers.set(ref, replies[index]!));
  };
  await Promise.all([...groups.values()].map(askGroup));
  return refs.map((ref) => answers.get(ref)!);
}

/** The node that a reply sends a command to. `again`: to the same node, a little later. */
export type Redirect =
  { readonly to: string | undefined; readonly slot: number; readonly asking: boolean } | 'again' | undefined;

/** The redirection in an error of a cluster node; undefined for any other error. */
export function redirectOf(error: unknown): Redirect {
  if (!(error instanceof Error)) return undefined;
  const [, kind, slot, address] = /^(MOVED|ASK) (\d+) (\S+)/.exec(error.message) ?? [];
  if (kind && address) {
    // An address without a host means the host of the server that was asked.
    const to = /^\??:/.test(address) ? undefined : address;
    return { to, slot: Number(slot), asking: kind === 'ASK' };
  }
  return /^(TRYAGAIN|CLUSTERDOWN)\b/.test(error.message) ? 'again' : undefined;
}

/** True for the error of a cluster node whose keys are at two servers. */
export function isSplit(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('TRYAGAIN');
}

/**
 * A slot is half-way from one server of a cluster to another. It refuses each script whose keys may be at both servers
 * (TRYAGAIN), until the migration ends; an interrupted one may never end.
 *
 * 1. Renewals and releases must not wait for that. They have scripts that name one key (commands/split-slot.ts).
 * 2. The queue stays as it is. After the migration the heartbeat of the first waiter finds the lease free.
 * 3. Nothing is granted meanwhile, so tokens stay in order.
 */
export class SplitSlotError extends DriverUnavailableError {}
