// Installs the libraries that are compared, where they are missing or older than the lock file.
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../adapters/', import.meta.url));

export function installPeers() {
  if (modified('node_modules/.package-lock.json') >= modified('package-lock.json')) return;
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
}

function modified(path) {
  return statSync(folder + path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
