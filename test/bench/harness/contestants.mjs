// What can be measured: everything that a file in ../adapters names.
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../adapters/', import.meta.url);

/**
 * An adapter exports
 * - `contestants`: [{ name, settings?, waiting?, only? }]. `settings` go to `open`; `waiting`: it differs from the library's
 *   first contestant only in how it waits, so it takes part where there is waiting; `only`: the workloads it is for
 * - `open({ port }, settings)`: resolves with `acquire(key, ttl)`, which resolves with the release, `close()`, and with
 *   `renews` also `hold(key, ttl)`, which renews until its release, which rejects or resolves with false after a loss
 * - `commands`: the Redis commands that the library sends itself, to tell them from those inside of its scripts
 * - `renews`: whether it has `hold`. `kind`: 'peer' (default), 'floor', 'ours' or 'control'
 */
export async function loadContestants() {
  const files = readdirSync(folder).filter((file) => file.endsWith('.mjs'));
  const adapters = await Promise.all(
    files.map(async (file) => {
      const { href: url } = new URL(file, folder);
      const { contestants, commands, renews = false, kind = 'peer' } = await import(url);
      return contestants.map(({ name, settings = {}, waiting = false, only }) => {
        return { name, settings, waiting, only, commands, renews, kind, url };
      });
    }),
  );
  const order = ['floor', 'ours', 'peer', 'control'];
  return adapters.flat().toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

/** Versions of the libraries, as installed. */
export function libraryVersions() {
  const { devDependencies } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8'));
  const framework = /^(@nestjs\/|rxjs$|reflect-metadata$)/;
  return Object.fromEntries(Object.entries(devDependencies).filter(([name]) => !framework.test(name)));
}
