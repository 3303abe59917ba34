/** A run without sudo at a terminal: the command has one of its own, which the caller’s shows. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { python } from './attacker.ts';
import { containedUnavailable } from './contained.ts';
import { type HelperLab, startHelperLab } from './helper-lab.ts';

const player = readFileSync(new URL('./attacks/at-terminal.py', import.meta.url), 'utf8');

interface Step {
  readonly expect?: string;
  readonly send?: string;
  /** Rows and columns. */
  readonly resize?: readonly [number, number];
  /** Seconds. */
  readonly pause?: number;
}

describe('a run without sudo, at a terminal', { skip: containedUnavailable(), timeout: 120_000 }, () => {
  let it: HelperLab;
  before(async () => {
    it = await startHelperLab();
  });
  after(() => it?.stop());

  const play = async (argv: readonly string[], steps: readonly Step[]) => {
    const { stdout, stderr } = await it.exec('alice', [python, '-I', '-c', player, JSON.stringify({ argv, steps })], {
      timeout: 60_000,
      env: { TERM: 'xterm', PS1: '> ', NO_COLOR: '1' },
    });
    assert.equal(stderr, '');
    assert.doesNotMatch(stdout, /never shown/, stdout);
    return stdout;
  };
  const words = (...command: readonly string[]) => [it.cofferdam, 'run', '-q', '--policy', it.policy, '--', ...command];

  test('what is typed gets there, what is written is shown, its size is known, and it is given back', async () => {
    const script = 'test -t 0 && test -t 1 && test -t 2 && echo all; stty size; read line; echo "<$line>"; exit 5';
    const shown = await play(words('sh', '-c', script), [{ expect: '33 99' }, { send: 'typed\r' }]);
    assert.match(shown, /all\r\n33 99\r\ntyped\r\n<typed>\r\n/);
    assert.match(shown, /settings: same\ncode: 5/);
  });

  test('a program that opens /dev/tty finds it', async () => {
    const shown = await play(words('sh', '-c', 'echo asks > /dev/tty; read line < /dev/tty; echo "<$line>"'), [
      { expect: 'asks', send: 'secret\r' },
    ]);
    assert.match(shown, /<secret>/);
  });

  test('Ctrl-C is for what is in the foreground in there, and jobs can be stopped', async () => {
    const shown = await play(words('bash', '--norc', '-i'), [
      { expect: '> $', send: 'sleep 100\r' },
      { expect: 'sleep 100', pause: 0.5, send: '\x03' },
      { expect: '> $', send: 'echo "code $?"; sleep 200\r' },
      { expect: 'code 130[\\s\\S]*', pause: 0.5, send: '\x1a' },
      { expect: 'Stopped', send: 'kill -9 %1; sleep 0.3; exit 6\r' },
    ]);
    assert.doesNotMatch(shown, /no job control|cannot set terminal/);
    assert.match(shown, /code: 6/);
  });

  test('Ctrl-C ends a command that does not care', async () => {
    const shown = await play(words('sh', '-c', 'echo ready; sleep 100'), [
      { expect: 'ready', pause: 0.3, send: '\x03' },
    ]);
    assert.match(shown, /settings: same\ncode: 130/);
  });

  test('it is told of another size', async () => {
    const script = 'trap "stty size; exit 0" WINCH; echo ready; while :; do sleep 0.05; done';
    const shown = await play(words('bash', '-c', script), [{ expect: 'ready', resize: [44, 111] }]);
    assert.match(shown, /44 111/);
  });

  test('a terminal that is hung up ends the run', async () => {
    const command = words('sh', '-c', 'echo ready; sleep 3456');
    const script = `${JSON.stringify({ argv: command, steps: [{ expect: 'ready' }] })}`;
    const started = it.spawn('alice', ['timeout', '-s', 'KILL', '8', python, '-I', '-c', player, script]);
    const isThere = async (): Promise<boolean> => (await it.root('sh', '-c', "pgrep -f 'sleep 345[6]' || true")) !== '';
    let began = false;
    for (let tries = 0; tries < 60 && !began; tries += 1) began = await isThere();
    assert.ok(began, 'control: the command runs');
    await started.ended;
    for (let tries = 0; tries < 60; tries += 1) {
      if (!(await isThere())) return;
      await new Promise((settle) => setTimeout(settle, 100));
    }
    assert.fail('the command outlived its terminal');
  });

  test('output into a pipe and keys from the terminal: signals reach the whole command', async () => {
    const inner = words('bash', '-c', 'echo ready; sleep 100 | cat; echo not reached').map((word) => `'${word}'`);
    const shown = await play(
      ['bash', '-c', `${inner.join(' ')} | cat; echo "code \${PIPESTATUS[0]}"`],
      [{ expect: 'ready', pause: 0.3, send: '\x03' }],
    );
    assert.doesNotMatch(shown, /not reached/);
  });

  test('in the background it shows what the command writes, and takes no keys', async () => {
    const inner = words('sh', '-c', 'echo from-inside').map((word) => `'${word}'`);
    const shown = await play(
      ['bash', '--norc', '-i'],
      [
        { expect: '> $', send: `${inner.join(' ')} &\r` },
        { expect: '\nfrom-inside\r\n', send: 'echo outside-$((40+2)); wait; exit 0\r' },
      ],
    );
    assert.match(shown, /outside-42/);
  });

  test('lines of ours are whole lines', async () => {
    const command = [
      it.cofferdam,
      'run',
      '--policy',
      it.policy,
      '--',
      'sh',
      '-c',
      'curl -sS https://www.example.com/; sleep 1',
    ];
    const shown = await play(command, []);
    assert.match(shown, /\r\ncofferdam: denied dns www\.example\.com[^\r\n]*\r\n/);
  });
});
