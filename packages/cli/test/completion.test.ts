import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { workDirectory } from './cofferdam.ts';
import { shellIn, shells, shellUnavailable } from './shells.ts';

const directory = workDirectory();

/** What is typed, what must be offered, and what must not. Each directory has a `policy.yaml`, each path a `polka-dot`. */
const rows: readonly [typed: string, has: readonly string[], hasNot: readonly string[]][] = [
  ['va', ['validate'], ['explain']],
  ['', ['run', 'validate', 'explain', 'flows', 'doctor', 'help', 'schema', 'completion'], ['policy.yaml']],
  ['--v', ['--version'], ['run']],
  ['validate --f', ['--format'], ['--json']],
  ['validate --format ', ['text', 'json', 'sarif'], ['policy.yaml']],
  ['validate --format=s', ['sarif'], ['text']],
  ['validate pol', ['policy.yaml'], []],
  ['validate --strict pol', ['policy.yaml'], []],
  ['explain --policy pol', ['policy.yaml'], []],
  ['explain -p pol', ['policy.yaml'], []],
  ['explain --proto ', ['tcp', 'udp', 'icmp'], []],
  ['gateway --dns ', ['synthetic', 'track', 'own'], ['policy.yaml']],
  ['run --dns=t', ['track'], ['own']],
  ['explain --from run --mo', ['--monitor'], []],
  ['flows --verdict w', ['would-deny'], ['deny']],
  ['flows --reason no-r', ['no-rule'], []],
  ['help unknown-', ['unknown-key', 'unknown-group', 'unknown-agent'], ['no-rule']],
  ['help run --', ['--json'], ['--policy']],
  ['completion ', ['bash', 'zsh', 'fish'], []],
  ['schema R', ['Ruleset'], []],
  ['doctor pol', [], ['policy.yaml', 'polka-dot']],
  ['run pol', [], ['policy.yaml', 'polka-dot']],
  ['run --q', ['--quiet'], []],
  ['run --policy p.yaml -- polka', ['polka-dot'], ['--policy']],
  ['run -- cat pol', ['policy.yaml'], ['polka-dot']],
  ['run -- cat --po', [], ['--policy']],
];

for (const shell of shells) {
  describe(shell, { skip: shellUnavailable(shell) }, () => {
    const home = join(directory, shell);
    const programs = join(home, 'programs');
    mkdirSync(programs, { recursive: true });
    writeFileSync(join(home, 'policy.yaml'), '');
    writeFileSync(join(programs, 'polka-dot'), '#!/bin/sh\n', { mode: 0o755 });
    const offers = shellIn(shell, home, { PATH: `${process.env.PATH}:${programs}` });

    for (const [typed, has, hasNot] of rows) {
      test(`\`cofferdam ${typed}\`: ${has.join(', ') || 'nothing of ours'}`, () => {
        const words = offers(`cofferdam ${typed}`);
        for (const word of has) assert.ok(words.includes(word), `${word} in ${words.join(' ')}`);
        for (const word of hasNot) assert.ok(!words.includes(word), `${word} in ${words.join(' ')}`);
      });
    }

    test('accepts its script', () => {
      const { status, stderr } = spawnSync(shell, ['-n', join(home, '_cofferdam')], { encoding: 'utf8' });
      assert.equal(stderr, '');
      assert.equal(status, 0);
    });
  });
}
