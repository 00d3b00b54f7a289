// Turns the .lua files of each driver into scripts.generated.ts beside them, so that builds and bundlers need no file at
// run time.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

for (const driver of ['redis', 'redlock']) generate(new URL(`../../${driver}/scripts/`, import.meta.url));

function generate(folder) {
  const read = (file) =>
    readFileSync(new URL(file, folder), 'utf8').replaceAll(/^--- @include (\S+)$/gm, (_, part) =>
      read(`include/${part}.lua`),
    );
  const scripts = readdirSync(folder)
    .filter((file) => file.endsWith('.lua'))
    .sort()
    .map((file) => {
      const lua = read(file).replaceAll(/^\s*--.*\n/gm, '');
      const sha = createHash('sha1').update(lua).digest('hex');
      return `  ${file.replace('.lua', '')}: {\n    sha: '${sha}',\n    lua: ${JSON.stringify(lua)},\n  },\n`;
    });
  writeFileSync(
    new URL('scripts.generated.ts', folder),
    `// Generated from the .lua files beside it.\nexport const scripts = {\n${scripts.join('')}} as const;\n`,
  );
}
