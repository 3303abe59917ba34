import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cofferdam, root, workDirectory } from './cofferdam.ts';
import { assertGolden } from './golden.ts';
import { brokenPolicy, deskPolicy } from './policies.ts';

const directory = workDirectory();
writeFileSync(join(directory, 'desk.yaml'), deskPolicy);
writeFileSync(join(directory, 'broken.yaml'), brokenPolicy);

const validate = (...args: string[]) => cofferdam(['validate', ...args], { cwd: directory });

test('a valid set: one line, and 0', () => {
  const { code, out, err } = validate('desk.yaml');
  assert.equal(code, 0);
  assert.equal(err, '');
  assert.equal(out, '1 file: 2 SmartGroups, 3 WebGroups, 5 rules: no problems\n');
});

test('an invalid one: all errors at once, and 1', () => {
  const { code, out } = validate('broken.yaml');
  assert.equal(code, 1);
  assertGolden('validate-broken.txt', out);
});

test('the example policies, each by itself', async () => {
  const { readdirSync } = await import('node:fs');
  for (const name of readdirSync(join(root, 'examples')).filter((each) => each.endsWith('.yaml'))) {
    const { code, out } = cofferdam(['validate', `examples/${name}`]);
    assert.equal(code, 0, out);
  }
});

test('as JSON', () => {
  const { code, out } = validate('broken.yaml', '--json');
  assert.equal(code, 1);
  const result = JSON.parse(out);
  assert.equal(result.valid, false);
  assert.equal(result.files, 1);
  assert.equal(result.errors, result.diagnostics.length);
  const first = result.diagnostics[0];
  assert.deepEqual([first.file, first.line, first.column, first.code], ['broken.yaml', 5, 3, 'unknown-key']);
  const valid = JSON.parse(validate('desk.yaml', '--json').out);
  assert.deepEqual([valid.valid, valid.smartGroups, valid.rules, valid.diagnostics], [true, 2, 5, []]);
});

test('as SARIF, with the problems of files too', () => {
  const { code, out } = validate('broken.yaml', 'missing.yaml', '--format', 'sarif');
  assert.equal(code, 1);
  const log = JSON.parse(out);
  assert.equal(log.version, '2.1.0');
  const [run] = log.runs;
  for (const result of run.results) assert.equal(run.tool.driver.rules[result.ruleIndex].id, result.ruleId);
  const ids = run.results.map((result: { ruleId: string }) => result.ruleId);
  assert.ok(ids.includes('unknown-key') && ids.includes('file-not-found'), ids.join());
});

test('standard input', () => {
  const { code, out } = cofferdam(['validate', '-'], { input: deskPolicy });
  assert.equal(code, 0);
  assert.match(out, /^1 file: /);
});

test('a directory: yaml, yml and json below it, nothing hidden, no loop, each file once', () => {
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'deep/.hidden'), { recursive: true });
  const group = (name: string): string =>
    `{"apiVersion":"cofferdam.dev/v1","kind":"SmartGroup","metadata":{"name":"${name}"},"spec":{"any":[{"agent":"a"}]}}`;
  writeFileSync(join(tree, 'one.yml'), group('one'));
  writeFileSync(join(tree, 'deep/two.json'), group('two'));
  writeFileSync(join(tree, 'deep/three.yaml'), group('three'));
  writeFileSync(join(tree, 'deep/.hidden/four.yaml'), 'not: policy');
  writeFileSync(join(tree, '.five.yaml'), 'not: policy');
  writeFileSync(join(tree, 'readme.md'), '# not policy');
  symlinkSync('..', join(tree, 'deep/up'));
  symlinkSync('self.yaml', join(tree, 'self-target'));
  symlinkSync('one.yml', join(tree, 'again.yaml'));
  const { code, out } = validate('tree', 'tree/one.yml', 'tree/deep');
  assert.equal(out, '3 files: 3 SmartGroups: no problems\n');
  assert.equal(code, 0);
});

const fileProblems: readonly [name: string, make: (path: string) => void, code: string][] = [
  ['a missing file', () => undefined, 'file-not-found'],
  ['a link to itself', (path) => symlinkSync(path, path), 'file-unreadable'],
  ['bytes that are no text', (path) => writeFileSync(path, Buffer.from([0x61, 0xff, 0xfe])), 'file-not-text'],
  ['a directory without policy', (path) => mkdirSync(path), 'no-policy-files'],
  ['a file far too large', (path) => writeFileSync(path, Buffer.alloc(6 * 1024 * 1024, 'a')), 'file-too-large'],
];

for (const [i, [name, make, code]] of fileProblems.entries()) {
  test(`${name} is an error with a code`, () => {
    const path = join(directory, `odd-${i}.yaml`);
    make(path);
    const ran = validate('desk.yaml', path);
    assert.equal(ran.code, 1);
    assert.match(ran.out, new RegExp(`odd-${i}\\.yaml(:1:1)?: error\\[${code}\\]`));
    assert.match(ran.out, /^help: /m);
    assert.match(ran.out, /: 1 error\n$/);
    assert.doesNotMatch(validate(path).out, /0 files/);
    assert.equal(cofferdam(['help', code]).code, 0);
  });
}

test('a file that may not be read is an error, never skipped', {
  skip: process.getuid?.() === 0 ? 'root reads everything' : false,
}, () => {
  const path = join(directory, 'secret.yaml');
  writeFileSync(path, deskPolicy);
  chmodSync(path, 0);
  const { code, out } = validate(path);
  assert.equal(code, 1);
  assert.match(out, /error\[file-unreadable\]: file cannot be read: permission denied/);
});

test('/dev/zero is not read for ever', () => {
  const { code, out } = validate('/dev/zero');
  assert.equal(code, 1);
  assert.match(out, /error\[/);
});

test('warnings are errors only with --strict', () => {
  const path = join(directory, 'wide.yaml');
  writeFileSync(
    path,
    `apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: wide }
spec: { rules: [{ name: all, action: permit, from: [anywhere], to: [anywhere], protocol: any }] }
`,
  );
  const { code, out } = validate(path);
  assert.equal(code, 0);
  assert.match(out, /warning\[permit-everything\]/);
  assert.match(out, /\n1 file: 1 rule: 1 warning\n$/);
  assert.equal(validate(path, '--strict').code, 1);
});
