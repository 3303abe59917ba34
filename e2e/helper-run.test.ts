/** `cofferdam run` by a user who is not root and used no sudo: what it reaches, what passes between it and its caller, and who may start it. */
import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { python } from './attacker.ts';
import { containedUnavailable, readRecords } from './contained.ts';
import { type HelperLab, policyFor, projectGroup, startHelperLab, users } from './helper-lab.ts';

const fetch = (url: string): readonly string[] => [
  'curl',
  '-sS',
  '-m',
  '8',
  '-o',
  '/dev/null',
  '-w',
  '%{http_code}',
  url,
];

describe('a run without sudo', { skip: containedUnavailable(), timeout: 170_000 }, () => {
  let it: HelperLab;
  before(async () => {
    it = await startHelperLab();
  });
  after(() => it?.stop());

  test('reaches what the policy names and nothing else', async () => {
    const since = await it.lab.mark();
    const permitted = await it.run(['--', ...fetch('https://example.com/')]);
    assert.deepEqual([permitted.code, permitted.stdout], [0, '200']);
    const denied = await it.run(['--', ...fetch('https://www.example.com/')]);
    assert.equal(denied.stdout, '000');
    const arrived = await it.lab.arrivals({ since, name: 'www.example.com' });
    assert.deepEqual(
      arrived.filter(({ kind }) => kind === 'request'),
      [],
    );
  });

  test('says denials as they happen, and writes the log as the user', async () => {
    const log = join(it.home('alice'), 'flows.jsonl');
    const words = [it.cofferdam, 'run', '--policy', it.policy, '--log', log, '--'];
    const { stderr } = await it.exec('alice', [...words, ...fetch('https://www.example.com/')]);
    assert.match(stderr, /denied dns www\.example\.com by default \(dns-not-permitted/);
    const { uid, mode } = await stat(log);
    assert.deepEqual([uid, mode & 0o777], [users.alice, 0o600]);
    const records = await readRecords(log);
    assert.ok(records.some((record) => record.reason === 'dns-not-permitted'));
    const seen = await it.run(['--log', log, '--', 'cat', log]);
    assert.deepEqual([seen.code, seen.stdout], [1, ''], 'the command does not see it');
  });

  test('has the variables, home, path, groups, limits and mask of its caller', async () => {
    const script = 'id -u; id -G; echo $HOME; echo $PATH; echo $TOKEN; pwd; umask; ulimit -n; command -v mine';
    const bin = join(it.home('alice'), 'bin');
    await it.exec('alice', ['sh', '-c', `mkdir -p ${bin}; printf '#!/bin/sh\\n' > ${bin}/mine; chmod +x ${bin}/mine`]);
    const path = `${bin}:/usr/bin:/bin`;
    const quoted = `umask 027; ulimit -n 777; exec ${it.cofferdam} run -q --policy ${it.policy} -- sh -c '${script}'`;
    const { stdout } = await it.exec('alice', ['sh', '-c', quoted], { env: { PATH: path, TOKEN: 'secret' } });
    const expected = [
      String(users.alice),
      `${users.alice} ${projectGroup}`,
      it.home('alice'),
      path,
      'secret',
      it.home('alice'),
      '0027',
      '777',
      `${bin}/mine`,
    ];
    assert.deepEqual(stdout.trim().split('\n'), expected);
  });

  test('exit codes, words, input and output pass', async () => {
    for (const code of [0, 1, 7, 125, 255]) assert.equal((await it.run(['--', 'sh', '-c', `exit ${code}`])).code, code);
    assert.equal((await it.run(['--', 'sh', '-c', 'kill -TERM $$'])).code, 143);
    assert.equal((await it.run(['--', 'no-such-command'])).code, 127);
    assert.equal((await it.run(['--', '/etc/passwd'])).code, 126);
    const words = ['a b', '', '$HOME', '*', "it's", '--', 'ü'];
    const told = await it.run(['--', 'sh', '-c', 'printf "<%s>" "$@"; cat; echo problem >&2', 'sh', ...words], {
      input: 'from outside',
    });
    assert.equal(told.stdout, `${words.map((word) => `<${word}>`).join('')}from outside`);
    assert.match(told.stderr, /^problem$/m);
  });

  test('signals reach the command', async () => {
    const script =
      'for s in TERM INT HUP USR1 USR2 QUIT; do trap "echo got $s; exit 9" $s; done; echo ready; while :; do sleep 0.05; done';
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGQUIT'] as const) {
      const started = it.spawn('alice', [it.cofferdam, 'run', '-q', '--policy', it.policy, '--', 'bash', '-c', script]);
      await started.waitFor(/ready/);
      await started.kill(signal);
      const { code, stdout } = await started.ended;
      assert.deepEqual([signal, code, stdout], [signal, 9, `ready\ngot ${signal.slice(3)}\n`]);
    }
  });

  test('the policy is read by the caller, from a pipe too, and its errors are said', async () => {
    const { code, stdout } = await it.exec(
      'alice',
      [it.cofferdam, 'run', '-q', '--policy', '-', '--', ...fetch('https://www.example.com/')],
      { input: policyFor('www.example.com') },
    );
    assert.deepEqual([code, stdout], [0, '200']);
    const wrong = join(it.home('alice'), 'wrong.yaml');
    await writeFile(wrong, `${policyFor('example.com')}\n---\nkind: Nonsense\n`);
    const refused = await it.exec('alice', [it.cofferdam, 'run', '--policy', wrong, '--', 'true']);
    assert.equal(refused.code, 125);
    assert.match(refused.stderr, /Nonsense[\s\S]*the policy has 1 error|the policy has \d+ errors/);
  });

  test('ports of the caller’s machine, and of the command', async () => {
    const server = it.spawn('alice', [
      python,
      '-c',
      'import socket\ns=socket.create_server(("127.0.0.1",8123))\nprint("up",flush=True)\nc=s.accept()[0];c.sendall(b"from the machine");c.close()',
    ]);
    await server.waitFor(/up/);
    const { stdout } = await it.run(['--host-port', '8123', '--', 'nc', '-d', '127.0.0.1', '8123']);
    assert.equal(stdout, 'from the machine');
    await server.ended;
  });

  describe('who may', () => {
    test('not somebody outside the group, who is told what to do', async () => {
      const { code, stderr } = await it.run(['--', 'true'], { user: 'mallory' });
      assert.equal(code, 125);
      assert.match(stderr, /needs root, or the group `cofferdam`[\s\S]*help: `sudo usermod -aG cofferdam mallory`/);
    });

    test('without the helper it needs root, and says how it would not', async () => {
      await it.root('mv', '/run/cofferdam/helper.sock', '/run/cofferdam/gone');
      const { code, stderr } = await it.run(['--', 'true']);
      await it.root('mv', '/run/cofferdam/gone', '/run/cofferdam/helper.sock');
      assert.equal(code, 125);
      assert.match(stderr, /needs root[\s\S]*sudo cofferdam install/);
    });
  });

  test('the home of the caller may be another one of theirs, a hidden one too', async () => {
    const script = 'echo $HOME; test -e "$HOME/mark" && echo seen';
    const other = '/tmp/cofferdam-home-of-alice';
    await it.exec('alice', ['sh', '-c', `mkdir -p ${other} && touch ${other}/mark`]);
    const { stdout } = await it.run(['--', 'sh', '-c', script], { env: { HOME: other } });
    assert.equal(stdout, `${other}\nseen\n`);
    await it.root('rm', '-r', other);
    for (const home of ['/run/cofferdam', '/root', 'relative', '/no/such'])
      assert.equal((await it.run(['--', 'sh', '-c', script], { env: { HOME: home } })).stdout, `${it.home('alice')}\n`);
  });

  test('the records of a run can be read by its caller, not by others', async () => {
    const { stdout } = await it.lab.exec('host', [
      'sh',
      '-c',
      'stat -c "%U %g %a" /run/cofferdam/runs/*/flows.jsonl | sort -u',
    ]);
    assert.equal(stdout, `root ${users.alice} 640\n`);
  });
});
