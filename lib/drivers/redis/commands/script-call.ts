export interface Script {
  readonly sha: string;
  readonly lua: string;
}

export interface ScriptRules {
  /** True for a reply that counts only once replicas have the write behind it. */
  readonly needsReplicas?: (reply: unknown) => boolean;
  /** For a script that may grant a lease: the script that replaces it with `failoverQuarantine` (scripts/reign.lua). */
  readonly inReign?: Script;
  /** The caller has another way while the keys are at two servers: the call then rejects at once with a SplitSlotError. */
  readonly hasDetour?: boolean;
}

const NO_RULES: ScriptRules = {};

/**
 * One script with its keys, which are all in one slot. A call may be sent to many servers and is encoded once.
 *
 * We encode it ourselves because ioredis looks at the length of each argument and counts its bytes. Measured in 160 pairs
 * of interleaved runs: with ioredis's encoding an acquire and its release cost 13 % more CPU and 10 % more p50 with 64
 * callers, and 2 to 9 % more CPU with one caller.
 */
export class ScriptCall {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
  readonly rules: ScriptRules;
  #encoded: Buffer | undefined;

  constructor(script: Script, keys: readonly string[], args: readonly (string | number)[], rules = NO_RULES) {
    this.script = script;
    this.keys = keys;
    this.args = args;
    this.rules = rules;
  }

  /** As EVALSHA. */
  get encoded(): Buffer {
    this.#encoded ??= encode('evalsha', this.script.sha, this);
    return this.#encoded;
  }

  /** As EVAL. */
  get whole(): Buffer {
    return encode('eval', this.script.lua, this);
  }
}

function encode(command: string, script: string, { keys, args }: ScriptCall): Buffer {
  const texts = [command, script, String(keys.length), ...keys, ...args.map(String)];
  const text = concatenate(texts, ({ length }) => length);
  const bytes = Buffer.from(text);
  // The text is almost always ASCII. Otherwise each length is a number of bytes.
  return bytes.length === text.length ? bytes : Buffer.from(concatenate(texts, Buffer.byteLength));
}

function concatenate(texts: readonly string[], lengthOf: (text: string) => number): string {
  let result = `*${texts.length}\r\n`;
  for (const text of texts) result += `$${lengthOf(text)}\r\n${text}\r\n`;
  return result;
}
