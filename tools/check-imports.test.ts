/** The rooms of the house and the doors between them: imports point from effects to values. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { fences, testsOnly } from './fences.ts';
import { crossings, importsOf, type PackageDescription } from './imports.ts';

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8');
const tools = (JSON.parse(read('package.json')) as { devDependencies: object }).devDependencies;
const packages = new Map(
  globSync('packages/*/package.json', { cwd: root }).map((path): [string, PackageDescription] => {
    const { exports, dependencies } = JSON.parse(read(path)) as { exports: object; dependencies?: object };
    const name = path.split('/')[1]!;
    // What only tests import may use what only developers install.
    const declared = { ...dependencies, ...(name === testsOnly ? tools : {}) };
    return [name, { name, doors: Object.keys(exports), dependencies: Object.keys(declared) }];
  }),
);
const patterns = ['packages/*/{src,test}/**/*.ts', 'e2e/**/*.ts', 'tools/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts'];
const files = globSync(patterns, { cwd: root, exclude: ['**/node_modules/**'] }).sort();

test('no import crosses a fence', () => {
  assert.ok(files.length > 0);
  const found = files.flatMap((path) => crossings({ path, text: read(path) }, packages, fences));
  assert.deepEqual(found, []);
});

test('every package has a fence, and every fence a package', () => {
  assert.deepEqual([...packages.keys()].sort(), Object.keys(fences).sort());
});

test('fences leave no way round: no package can import itself through others', () => {
  const reached = (name: string, seen: ReadonlySet<string>): readonly string[] =>
    (fences[name]?.may ?? [])
      .filter((next) => next !== '*' && !seen.has(next))
      .flatMap((next) => [next, ...reached(next, new Set([...seen, next]))]);
  for (const name of Object.keys(fences)) assert.ok(!reached(name, new Set()).includes(name), `${name} is in a circle`);
});

test('imports are found however they are written', () => {
  const text = [
    "import a from './a.ts';",
    "import type { B } from './b.ts';",
    "import {\n  c,\n  d,\n} from './c.ts';",
    "import './d.ts';",
    "export { e } from './e.ts';",
    "export * from './f.ts';",
    "const g = await import('./g.ts');",
    "type H = import('./h.ts').H;",
    "// an import from 'nowhere'",
    "const i = 'from \\'./i.ts\\'';",
  ].join('\n');
  assert.deepEqual(
    importsOf(text),
    ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => `./${name}.ts`),
  );
});

describe('the fences hold', () => {
  const rows: readonly (readonly [path: string, target: string, complaint: RegExp | undefined])[] = [
    ['packages/net/src/x.ts', './y.ts', undefined],
    ['packages/net/src/x.ts', 'node:fs', /touches no Node module/],
    ['packages/net/src/x.ts', 'fs', /written with `node:`/],
    ['packages/net/src/x.ts', '@cofferdam/verdict', /net does not import verdict, because addresses/],
    ['packages/net/src/x.ts', 'koffi', /does not declare it/],
    ['packages/net/src/x.ts', 'tldts', undefined],
    ['packages/plan/src/x.ts', '@cofferdam/policy', /never the language it came from/],
    ['packages/gateway/src/x.ts', '@cofferdam/policy', /attack surface in the path/],
    ['packages/gateway/src/x.ts', '@cofferdam/compiler', /attack surface in the path/],
    ['packages/gateway/src/x.ts', '@cofferdam/plan', undefined],
    ['packages/gateway/src/deep/x.ts', '../../../plan/src/decide.ts', /by its exports map only/],
    ['packages/gateway/src/x.ts', '@cofferdam/plan/src/index.ts', /the exports map of plan has no `.\/src\/index.ts`/],
    ['packages/gateway/src/x.ts', '@cofferdam/testkit', /only tests import it/],
    ['packages/gateway/src/x.ts', '../test/helper.ts', /does not rest on tests/],
    ['packages/gateway/test/x.test.ts', '@cofferdam/testkit', undefined],
    ['packages/gateway/test/x.test.ts', '@cofferdam/policy', undefined],
    ['packages/gateway/test/x.test.ts', '../src/proxy.ts', undefined],
    ['packages/cli/src/x.ts', '@cofferdam/compiler', undefined],
    ['packages/nowhere/src/x.ts', './y.ts', /has no fence/],
    ['e2e/x.test.ts', '@cofferdam/testkit/lab', undefined],
    ['e2e/x.test.ts', '../packages/net/src/address.ts', /by its exports map only/],
  ];
  for (const [path, target, complaint] of rows) {
    test(`${path} and ${target}`, () => {
      const found = crossings({ path, text: `import '${target}';` }, packages, fences);
      if (complaint === undefined) assert.deepEqual(found, []);
      else assert.match(found.join('\n'), complaint);
    });
  }
});
