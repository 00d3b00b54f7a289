import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './repository.js';

export interface Outcome {
  /** Exit code; undefined when the program did not end by itself. */
  readonly code: number | undefined;
  readonly output: string;
  readonly errors: string;
}

/** Runs a program to its end. One that does not end is killed. */
export function run(
  folder: string,
  program: string,
  args: readonly string[],
  { env = {}, limit }: { env?: NodeJS.ProcessEnv; limit: number },
): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = {
      cwd: folder,
      env: { ...environment(), ...env },
      timeout: limit,
      killSignal: 'SIGKILL' as const,
      maxBuffer: 2 ** 26,
    };
    const child = execFile(program, args, options, (_error, output, errors) =>
      resolve({ code: child.exitCode ?? undefined, output, errors }),
    );
  });
}

/** Without what npm and vitest tell their children about this repository. */
function environment(): NodeJS.ProcessEnv {
  const foreign = /^(npm_(package|lifecycle|command|config_local_prefix)|INIT_CWD|NODE_|VITEST)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}

/** Runs npm, which has to succeed; its output. */
export async function npm(folder: string, ...args: string[]): Promise<string> {
  const { code, output, errors } = await run(folder, 'npm', args, { limit: 150_000 });
  if (code !== 0) throw new Error(`npm ${args.join(' ')} ended with ${code}:\n${output}\n${errors}`);
  return output;
}

/** A throw-away application in a folder of its own, far from this repository and its node_modules. */
export class Consumer {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(type: 'commonjs' | 'module'): Promise<Consumer> {
    const consumer = new Consumer(await mkdtemp(join(tmpdir(), `dist-lock-${type}-`)));
    await consumer.write('package.json', JSON.stringify({ name: 'consumer', version: '1.0.0', private: true, type }));
    await cp(join(ROOT, 'test/package/app'), join(consumer.folder, 'src'), { recursive: true });
    return consumer;
  }

  async install(...packages: string[]): Promise<void> {
    const flags = ['--no-audit', '--no-fund', '--prefer-offline', '--save-exact'];
    await npm(this.folder, 'install', ...flags, ...packages);
  }

  /** Compiles `src` with the TypeScript of this repository; what it complains of. */
  async compile(compilerOptions: object, files: string[] = ['main.ts', 'types.ts']): Promise<string[]> {
    const config = {
      compilerOptions: {
        target: 'ES2023',
        strict: true,
        experimentalDecorators: true,
        emitDecoratorMetadata: true,
        types: ['node'],
        rootDir: 'src',
        outDir: 'dist',
        ...compilerOptions,
      },
      files: files.map((file) => `src/${file}`),
    };
    await this.write('tsconfig.json', JSON.stringify(config));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { output } = await this.node([tsc, '-p', '.', '--pretty', 'false']);
    return output.split('\n').filter((line) => line.includes('error TS'));
  }

  node(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    return run(this.folder, process.execPath, args, { env, limit: 40_000 });
  }

  write(file: string, text: string): Promise<void> {
    return writeFile(join(this.folder, file), text);
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}
