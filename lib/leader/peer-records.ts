import type { LockRecord } from '../core/lock-driver.js';
import { printable } from '../core/printable.js';
import { acceptedUrls, type AcceptsUrl } from './accepted-urls.js';
import { type InstanceInfo, type Member, type Role, toMember } from './leadership.js';

/** Visible ASCII: the characters that may stand in an HTTP header. */
export const VISIBLE = /^[\x21-\x7e]+$/;
const LONGEST_ID = 255;
/** Characters. Metadata may have 4 kB, and the rest of a record is short. */
const LONGEST_RECORD = 16_384;
const ROLES: ReadonlySet<unknown> = new Set<Role>(['follower', 'candidate', 'leader', 'stepping-down', 'stopped']);

/** A member, and the facts about it that only other instances need. */
export interface Candidacy {
  readonly member: Member;
  readonly priority: number;
  /** Different for two processes with the same instance id. */
  readonly process: string;
}

/**
 * Reads the records that other instances have written about themselves. Anybody with access to the store can write any
 * text, so each part is checked:
 *
 * 1. A URL that this instance does not accept is left out, and reported once.
 * 2. Metadata that are not texts are left out.
 * 3. A member whose record cannot be read is no member.
 * 4. The holder of the lease is the leader, even where its record cannot be read.
 */
export class PeerRecords {
  readonly #acceptsUrl: AcceptsUrl;
  readonly #problem: (message: string) => void;
  readonly #refused = new Set<string>();

  /** @param problem called once for each URL that is not accepted, for at most 100 of them */
  constructor({ url, acceptsUrl = acceptedUrls(url, []) }: InstanceInfo, problem: (message: string) => void) {
    this.#acceptsUrl = acceptsUrl;
    this.#problem = problem;
  }

  leader({ instance, metadata }: Pick<LockRecord, 'instance' | 'metadata'>): Member {
    const { url, joinedAt, metadata: own } = metadata;
    const id = isId(instance)
      ? instance
      : encodeURIComponent(instance.toWellFormed()).slice(0, LONGEST_ID) || 'unknown';
    const info = { id, url: this.#urlOf(id, url), metadata: metadataOf(parsed(own)) };
    return toMember(info, 'leader', instantOf(Number(joinedAt)));
  }

  candidacy(id: string, fact: string): Candidacy | undefined {
    const { url, metadata, role, joinedAt, priority, process } = recordOf(parsed(fact));
    if (!isId(id) || !ROLES.has(role) || typeof process !== 'string') return undefined;
    const info = { id, url: this.#urlOf(id, url), metadata: metadataOf(metadata) };
    const member = toMember(info, role as Role, instantOf(joinedAt));
    return { member, priority: Number.isFinite(priority) ? (priority as number) : 0, process };
  }

  #urlOf(id: string, url: unknown): string | undefined {
    if (typeof url !== 'string') return undefined;
    if (VISIBLE.test(url) && this.#acceptsUrl(url)) return url;
    this.#report(id, url);
    return undefined;
  }

  #report(id: string, url: string): void {
    // Forged URLs must not fill the memory.
    if (this.#refused.has(url) || this.#refused.size >= 100) return;
    this.#refused.add(url);
    this.#problem(
      `Instance ${id} registered the URL "${printable(url.slice(0, 200))}", which this instance does not accept: no ` +
        'request is sent there. Give every instance an `instance.url` with the same scheme and port, or list the others in `instance.allowedUrls`.',
    );
  }
}

function isId(id: string): boolean {
  return id.length <= LONGEST_ID && VISIBLE.test(id);
}

/** Undefined for a text that is no JSON. Another version of this package may write another format. */
function parsed(text: unknown): unknown {
  if (typeof text !== 'string' || text.length > LONGEST_RECORD) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function metadataOf(value: unknown): Record<string, string> {
  const entries = Object.entries(recordOf(value));
  return entries.every(([, text]) => typeof text === 'string')
    ? (Object.fromEntries(entries) as Record<string, string>)
    : {};
}

function instantOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
