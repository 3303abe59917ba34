/** Fails when what is unpacked in node_modules is not what package-lock.json says: other versions, or other bytes. */
import { readFileSync } from 'node:fs';

interface Entry {
  readonly version?: string;
  readonly integrity?: string;
}

const packagesIn = (file: string): Readonly<Record<string, Entry>> =>
  (
    JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')) as {
      packages: Readonly<Record<string, Entry>>;
    }
  ).packages;

const locked = packagesIn('package-lock.json');
const wrong = Object.entries(packagesIn('node_modules/.package-lock.json')).filter(
  ([path, { version, integrity }]) => locked[path]?.version !== version || locked[path]?.integrity !== integrity,
);
for (const [path, { version }] of wrong) {
  process.stderr.write(
    `\`${path}\` is ${version}, and package-lock.json says ${locked[path]?.version ?? 'nothing of it'}\n`,
  );
}
if (wrong.length > 0) {
  process.stderr.write(
    'help: bring package-lock.json in step with package.json by `npm install --package-lock-only`\n',
  );
  process.exit(1);
}
