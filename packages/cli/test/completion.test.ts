import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cofferdam, workDirectory } from './cofferdam.ts';

const directory = workDirectory();
writeFileSync(join(directory, 'policy.yaml'), '');
const script = join(directory, 'cofferdam.bash');
writeFileSync(script, cofferdam(['completion', 'bash']).out);

/** What bash offers where the last word is the one being typed. */
const offered = (...words: string[]): readonly string[] => {
  const quoted = ['cofferdam', ...words].map((word) => `'${word}'`).join(' ');
  const { stdout, stderr } = spawnSync(
    'bash',
    [
      '--norc',
      '-c',
      `source '${script}'; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _cofferdam 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ],
    { encoding: 'utf8', cwd: directory },
  );
  assert.equal(stderr, '');
  return stdout.split('\n').filter((line) => line !== '');
};

const rows: readonly [typed: readonly string[], has: readonly string[], hasNot: readonly string[]][] = [
  [['va'], ['validate'], ['explain']],
  [[''], ['run', 'validate', 'explain', 'flows', 'doctor', 'help', 'completion', '--version'], []],
  [['validate', '--f'], ['--format'], ['--json']],
  [['validate', '--format', ''], ['text', 'json', 'sarif'], []],
  [['validate', '--format', '=', 's'], ['sarif'], ['text']],
  [['validate', 'pol'], ['policy.yaml'], []],
  [['explain', '--policy', 'pol'], ['policy.yaml'], []],
  [['explain', '-p', 'pol'], ['policy.yaml'], []],
  [['explain', '--proto', ''], ['tcp', 'udp', 'icmp'], []],
  [['flows', '--reason', 'no-r'], ['no-rule'], []],
  [['help', 'unknown-'], ['unknown-key', 'unknown-group', 'unknown-agent'], ['no-rule']],
  [['completion', ''], ['bash', 'zsh', 'fish'], []],
  [['schema', 'R'], ['Ruleset'], []],
  [['run', '--policy', 'p.yaml', '--', 'pol'], [], ['--policy']],
  [['run', '--', 'cat', 'pol'], ['policy.yaml'], []],
];

for (const [typed, has, hasNot] of rows) {
  test(`bash, \`cofferdam ${typed.join(' ')}\`: ${has.join(', ') || 'nothing of ours'}`, () => {
    const words = offered(...typed);
    for (const word of has) assert.ok(words.includes(word), `${word} in ${words.join(' ')}`);
    for (const word of hasNot) assert.ok(!words.includes(word), `${word} in ${words.join(' ')}`);
  });
}

for (const shell of ['bash', 'zsh', 'fish']) {
  const absent = spawnSync(shell, ['--version']).status !== 0;
  test(`${shell} accepts its script`, { skip: absent ? `no ${shell} here` : false }, () => {
    const { out } = cofferdam(['completion', shell]);
    const { status, stderr } = spawnSync(shell, ['-n'], { input: out, encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });
}
