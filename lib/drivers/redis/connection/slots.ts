import { Command } from 'ioredis';
import { DriverUnavailableError } from '../../../core/errors.js';

/** What a redirection that leads nowhere calls for. */
export const UNSETTLED =
  'A slot is half-way from one node to another, or the nodes do not agree on its owner: run `redis-cli --cluster fix`.';

/** The slot of a cluster that a key is in. */
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

/** Where a reply sends a command to; `again`: to nowhere else, but a little later. */
export type Redirect =
  { readonly to: string | undefined; readonly slot: number; readonly asking: boolean } | 'again' | undefined;

/** What a cluster says instead of executing a command, or undefined for any other error. */
export function redirectOf(error: unknown): Redirect {
  if (!(error instanceof Error)) return undefined;
  const [, kind, slot, address] = /^(MOVED|ASK) (\d+) (\S+)/.exec(error.message) ?? [];
  if (kind && address) {
    // An address without a host is the one of the server that was asked, with another port.
    const to = /^\??:/.test(address) ? undefined : address;
    return { to, slot: Number(slot), asking: kind === 'ASK' };
  }
  return /^(TRYAGAIN|CLUSTERDOWN)\b/.test(error.message) ? 'again' : undefined;
}

/** Whether what a cluster said means that the keys of one command are at two servers. */
export function isSplit(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('TRYAGAIN');
}

/**
 * A slot that is half-way from one server of a cluster to another refuses every script whose keys may be at both
 * (TRYAGAIN), for as long as an interrupted migration stays unfinished. What must not wait for that names one key here:
 * to re-arm a lease and to give it back. The queue stays as it is: once the slot has arrived, the heartbeat of the first
 * in it finds the lease free. Nothing is granted in the meantime, so that tokens stay in order.
 */
export class SplitSlotError extends DriverUnavailableError {}
