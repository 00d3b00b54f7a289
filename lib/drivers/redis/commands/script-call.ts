export interface Script {
  readonly sha: string;
  readonly lua: string;
}

export interface ScriptRules {
  /** Whether a reply is worth nothing until replicas have what led to it. */
  readonly needsReplicas?: (reply: unknown) => boolean;
  /** For one that may grant a lease: what runs instead where the reign of the master matters (see scripts/reign.lua). */
  readonly inReign?: Script;
  /** Whether the caller has another way where the keys are at two servers: then it rejects at once with a SplitSlotError. */
  readonly hasDetour?: boolean;
}

const NO_RULES: ScriptRules = {};

/** One script to run where its keys are, all in one slot. It may be sent to many servers, and is encoded once. */
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

  /** As EVALSHA. What ioredis does for each argument of any command costs more than the rest of the way to the socket. */
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
  // Almost always ASCII; else lengths are those of the bytes.
  return bytes.length === text.length ? bytes : Buffer.from(concatenate(texts, Buffer.byteLength));
}

function concatenate(texts: readonly string[], lengthOf: (text: string) => number): string {
  let result = `*${texts.length}\r\n`;
  for (const text of texts) result += `$${lengthOf(text)}\r\n${text}\r\n`;
  return result;
}
