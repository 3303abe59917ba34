import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { bubblewrapOptions, dropWords, gateScript, gateScriptOf, userWords } from '../src/bubblewrap.ts';
import type { SandboxSpec } from '../src/prepare.ts';
import { seed } from './seed.ts';

const spec: SandboxSpec = {
  networkNamespace: '/run/netns/x',
  user: { uid: 5, gid: 6, groups: [6, 7], name: 'u', home: '/home/u' },
  cwd: '/home/u',
  command: ['true'],
  environment: new Map([
    ['A', 'b'],
    ['LD_PRELOAD', '/x.so'],
  ]),
  removedVariables: [],
  mounts: [
    { kind: 'bind', path: '/' },
    { kind: 'data', path: '/etc/resolv.conf', content: 'one' },
    { kind: 'data', path: '/etc/nsswitch.conf', content: 'two' },
  ],
  shares: [],
  writable: undefined,
  warnings: [],
  stdio: ['inherit', 'inherit', 'inherit'],
  onBehalf: undefined,
};
const tools = {
  env: '/usr/bin/env',
  nsenter: '/usr/bin/nsenter',
  bwrap: '/usr/bin/bwrap',
  setpriv: '/usr/bin/setpriv',
  setsid: '/usr/bin/setsid',
  prlimit: '/usr/bin/prlimit',
  sh: '/bin/sh',
};

/** Runs the gate as the sandbox does, with these words on descriptor 3. */
function throughGate(
  input: string,
  command: readonly string[],
): Promise<{ readonly code: number | null; readonly stdout: string }> {
  const child = spawn('/bin/sh', ['-c', gateScript, 'cofferdam', 'END', ...command], {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
  });
  let stdout = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8');
  });
  const gate = child.stdio[3] as Writable;
  gate.on('error', () => gate.destroy());
  gate.end(input);
  return new Promise((settle) => child.once('close', (code) => settle({ code, stdout })));
}

const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

test('words and arguments pass the gate as they are', async () => {
  const word = fc.string({
    unit: fc.constantFrom('a', ' ', "'", '"', '$', '`', '\\', '\n', '*', 'é', ';'),
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 4 }), fc.array(word, { maxLength: 4 }), async (words, args) => {
      const first = ['/usr/bin/printf', '%s\\0', ...words].map(quoted).join(' ');
      const { stdout } = await throughGate(`${first}\nEND\n`, args);
      // printf applies its format once where nothing is left to print.
      assert.equal(
        stdout,
        words.length + args.length === 0 ? '\0' : [...words, ...args].map((text) => `${text}\0`).join(''),
      );
    }),
    { seed, numRuns: 40 },
  );
});

test('the gate stays closed at every truncation of the words', async () => {
  const input = "'/bin/echo' 'ran'\nEND\n";
  for (let length = 0; length < input.length; length += 1) {
    assert.deepEqual(await throughGate(input.slice(0, length), []), { code: 125, stdout: '' }, `after ${length} bytes`);
  }
  assert.deepEqual(await throughGate(input, ['really']), { code: 0, stdout: 'ran really\n' });
});

test('what the linker obeys goes through the gate and not to bubblewrap', () => {
  const options = bubblewrapOptions(spec);
  assert.ok(options.ok);
  assert.ok(options.value.words.join(' ').includes('--setenv A b'));
  assert.ok(!options.value.words.join(' ').includes('LD_PRELOAD'));
  assert.ok(dropWords(spec, tools).endsWith("'--' 'LD_PRELOAD=/x.so'"));
  assert.ok(!dropWords(spec, tools).includes('A=b'));
});

test('each text has a descriptor of its own', () => {
  const options = bubblewrapOptions(spec);
  assert.ok(options.ok);
  assert.match(
    options.value.words.join(' '),
    /--ro-bind-data 7 \/etc\/resolv.conf --perms 0644 --ro-bind-data 8 \/etc\/nsswitch.conf/,
  );
  assert.deepEqual(options.value.data, ['one', 'two']);
});

test('a user without other groups loses all of ours', () => {
  assert.ok(dropWords(spec, tools).includes("'--groups=6,7'"));
  assert.ok(dropWords({ ...spec, user: { ...spec.user, groups: [] } }, tools).includes("'--clear-groups'"));
});

test('more than bubblewrap can read is an error', () => {
  const mounts = Array.from({ length: 4000 }, (_, number) => ({
    kind: 'nothing' as const,
    path: `/home/u/${number}.sock`,
  }));
  const options = bubblewrapOptions({ ...spec, mounts });
  assert.equal(options.ok ? '' : options.error.code, 'too-many-mounts');
});

test('on behalf of a user the steps before CMD have streams of ours, and CMD has those of the user', async () => {
  const onBehalf = { terminal: false, umask: 0o22, limits: [{ name: 'nofile', soft: 8n, hard: undefined }] };
  const behalf: SandboxSpec = { ...spec, onBehalf };
  const words = [
    'sh',
    '-c',
    'cat; echo out; echo problem >&2; for fd in 7 8 9; do test ! -e /proc/$$/fd/$fd || echo "$fd is open" >&2; done',
  ];
  const child = spawn('/bin/sh', ['-c', gateScriptOf(behalf), 'cofferdam', 'END', ...words], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'ignore', 'ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
  });
  const streams: readonly unknown[] = child.stdio;
  const said: Record<number, string> = { 1: '', 2: '', 8: '', 9: '' };
  for (const fd of [1, 2, 8, 9])
    (streams[fd] as Readable).on('data', (chunk: Buffer) => {
      said[fd] += chunk.toString('utf8');
    });
  (streams[7] as Writable).end('in ');
  (streams[3] as Writable).end("'/usr/bin/env'\nEND\n");
  await new Promise((settle) => child.once('close', settle));
  assert.deepEqual([said[1], said[2]], ['', '']);
  assert.equal(said[8], 'in out\n');
  assert.equal(said[9], 'problem\n');
});

test('on behalf of a user bubblewrap drops, and what comes after has no privileges to drop', () => {
  const limits = [{ name: 'nofile', soft: 8n, hard: undefined }];
  const behalf: SandboxSpec = { ...spec, onBehalf: { terminal: true, umask: 0o22, limits } };
  assert.deepEqual(userWords(behalf, tools), [
    '/usr/bin/setpriv',
    '--ruid=5',
    '--euid=0',
    '--regid=6',
    '--groups=6,7',
    '--',
  ]);
  assert.deepEqual(userWords(spec, tools), []);
  const words = dropWords(behalf, tools);
  assert.ok(
    words.startsWith("'/usr/bin/setsid' '--ctty' '--' '/usr/bin/prlimit' '--nofile=8:unlimited' '--' '/usr/bin/env'"),
  );
  assert.doesNotMatch(words, /setpriv/);
  assert.doesNotMatch(
    dropWords({ ...behalf, onBehalf: { terminal: false, umask: 0, limits: [] } }, tools),
    /ctty|prlimit/,
  );
  const options = bubblewrapOptions(behalf);
  assert.ok(options.ok);
  assert.match(options.value.words.join(' '), /--ro-bind-data 10 .*--ro-bind-data 11 /);
});
