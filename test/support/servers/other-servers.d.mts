export interface OtherServer {
  /** Of its folder in the cache. */
  readonly name: string;
  /** Of Debian. */
  readonly suite: string;
  readonly package: string;
  /** Default: named like the package. */
  readonly binary?: string;
  /** Text in the program, and what takes its place, of the same length. */
  readonly says?: readonly [string, string];
  /** What of test-servers.mjs runs on it. */
  readonly tests: string;
  /** Whether `npm test` fetches it. */
  readonly isInNpmTest?: boolean;
}

export const OTHER_SERVERS: readonly OtherServer[];

/** The program that starts a server of the cache; undefined where it was not fetched. */
export function findOtherServer(name: string): string | undefined;

/** Resolves with the program that starts the server; rejects where it cannot be had, by default after 90 s at the latest. */
export function fetchServer(server: OtherServer, signal?: AbortSignal): Promise<string>;

export function versionOf(program: string): Promise<string>;
