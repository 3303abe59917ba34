import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { commandNames } from '../src/command-table.ts';
import { cofferdam, program, root } from './cofferdam.ts';

const escapeSequence = '\u001b[';

test('the version', () => {
  const { code, out } = cofferdam(['--version']);
  assert.equal(code, 0);
  assert.match(out, /^cofferdam \d+\.\d+\.\d+\n$/);
});

test('without a command: what there is, on stderr, and 2', () => {
  const { code, out, err } = cofferdam([]);
  assert.equal(code, 2);
  assert.equal(out, '');
  for (const name of commandNames) assert.match(err, new RegExp(`^ {2}${name} `, 'm'));
});

for (const name of commandNames) {
  test(`\`${name} --help\` shows usage, options and examples`, () => {
    const { code, out, err } = cofferdam([name, '--help']);
    assert.equal(code, 0, err);
    assert.match(out, new RegExp(`Usage\n {2}cofferdam ${name} `));
    assert.match(out, /\nOptions\n/);
    assert.match(out, /\nExamples\n {2}# /);
    assert.match(out, /-h, --help/);
    assert.doesNotMatch(out, /undefined|\[object/);
  });
}

const wrong: readonly [args: readonly string[], says: RegExp, helps: RegExp][] = [
  [['validte'], /no command `validte`/, /did you mean `validate`\?/],
  [['exp'], /no command `exp`/, /did you mean `explain`\?/],
  [['version'], /no command `version`/, /did you mean `--version`\?/],
  [['frobnicate'], /no command `frobnicate`/, /commands: run, gateway, validate/],
  [['--versoin'], /no option `--versoin`/, /did you mean `--version`\?/],
  [['validate'], /`validate` needs PATH…/, /validate --help/],
  [['validate', 'x', '--formt', 'json'], /no option `--formt`/, /did you mean `--format`\?/],
  [['validate', 'x', '--format', 'jsn'], /`--format` does not take `jsn`/, /did you mean `json`\?/],
  [['validate', 'x', '--format'], /`--format` needs a value/, /`text`, `json` or `sarif`/],
  [['validate', 'x', '--format', 'json', '--format', 'text'], /given twice/, /give it once/],
  [['validate', 'x', '--json=yes'], /takes no value/, /`--json` alone/],
  [['validate', 'x', '-z'], /no option `-z`/, /validate --help/],
  [['explain', '--to', 'x.example'], /no policy is named/, /--policy/],
  [['explain', 'x.example', '--policy', 'p'], /one word too many/, /explain --help/],
  [['flows', 'a', 'b'], /`b` is one word too many/, /flows --help/],
  [['flows', '--reason', 'no-rul'], /no reason `no-rul`/, /did you mean `no-rule`\?/],
  [['flows', '--since', 'yesterday'], /`yesterday` is not a time/, /`10m`/],
  [['flows', '--since', '2027-01-30T09:00'], /is not a time/, /2027-01-30T09:00Z/],
  [['flows', '--last', '0'], /`--last` does not take `0`/, /from 1 upward/],
  [['flows', '--name', 'a*.example'], /the character `\*`/, /`\*\.example\.com`/],
  [['flows', '--agent', ''], /`--agent` is given an empty value/, /`--agent NAME`/],
  [['explain', '-p', ''], /`-p` is given an empty value/, /`-p PATH`/],
  [['run', '--policy=', '--', 'true'], /`--policy` is given an empty value/, /`--policy FILE\|DIR`/],
  [['run', '--policy', 'p.yaml', '--', ''], /`run` needs a command/, /behind `--`/],
  [['validate', ''], /`validate` is given an empty word/, /`PATH…`/],
  [['help', 'no-ruel'], /neither a code nor a command/, /did you mean `no-rule`\?/],
  [['schema', 'Rulset'], /no schema for `Rulset`/, /did you mean `Ruleset`\?/],
  [['completion', 'tcsh'], /no completion for `tcsh`/, /`bash`, `zsh` or `fish`/],
];

for (const [args, says, helps] of wrong) {
  test(`\`${args.join(' ')}\` is refused with a way out`, () => {
    const { code, out, err } = cofferdam(args);
    assert.equal(code, 2);
    assert.equal(out, '');
    const [first = '', second = ''] = err.split('\n');
    assert.match(first, /^cofferdam: /);
    assert.match(first, says);
    assert.match(second, /^help: /);
    assert.match(second, helps);
  });
}

test('user text in an error cannot steer the terminal', () => {
  const { err } = cofferdam(['\u001b[31mred']);
  assert.ok(!err.includes('\u001b'), JSON.stringify(err));
});

test('colours: none in a pipe, some where they are forced, none where both say so', () => {
  assert.ok(!cofferdam(['help', 'no-rule']).out.includes(escapeSequence));
  assert.ok(cofferdam(['help', 'no-rule'], { env: { FORCE_COLOR: '1' } }).out.includes(escapeSequence));
  assert.ok(!cofferdam(['help', 'no-rule'], { env: { FORCE_COLOR: '0' } }).out.includes(escapeSequence));
  assert.ok(!cofferdam(['help', 'no-rule'], { env: { NO_COLOR: '1' } }).out.includes(escapeSequence));
});

test('colours on a terminal, unless NO_COLOR', { skip: hasScript() ? false : 'no `script` here' }, () => {
  const onTerminal = (env: Readonly<Record<string, string>>): string =>
    spawnSync('script', ['-qec', `'${process.execPath}' '${program}' help no-rule`, '/dev/null'], {
      encoding: 'utf8',
      env: { ...process.env, TERM: 'xterm', ...env },
      timeout: 30_000,
    }).stdout;
  assert.ok(onTerminal({}).includes(escapeSequence));
  assert.ok(!onTerminal({ NO_COLOR: '1' }).includes(escapeSequence));
  assert.ok(!onTerminal({ TERM: 'dumb' }).includes(escapeSequence));
});

function hasScript(): boolean {
  return spawnSync('script', ['--version']).status === 0;
}

const shell = (line: string) =>
  spawnSync('bash', ['-c', `set -o pipefail; cofferdam() { '${process.execPath}' '${program}' "$@"; }; ${line}`], {
    encoding: 'utf8',
    cwd: root,
    timeout: 60_000,
  });

for (const line of [
  'cofferdam help codes | head -1',
  'cofferdam schema policy | true',
  'cofferdam run --help | head -1',
]) {
  test(`\`${line}\` ends quietly`, () => {
    const { status, stderr } = shell(line);
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });
}

test('a full disk is said, and 1', () => {
  const { status, stderr } = shell('cofferdam help codes > /dev/full');
  assert.match(stderr, /cofferdam: the output cannot be written: .*ENOSPC/);
  assert.equal(status, 1);
});

test('options may stand behind operands, joined by =, and end at --', () => {
  assert.equal(cofferdam(['schema', '--', 'Ruleset']).code, 0);
  assert.equal(cofferdam(['validate', 'examples/coding-agent.yaml', '--format=json']).code, 0);
});

test('`run`: a command without `--` is told where it belongs', () => {
  const { code, err } = cofferdam(['run', '--policy', 'p.yaml', 'curl', '-sS', 'https://example.com']);
  assert.equal(code, 2);
  assert.match(err, /put `--` before the command: `cofferdam run … -- curl -sS https:\/\/example.com`/);
});
