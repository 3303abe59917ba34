/** What is root’s, or another’s, and what the helper must not tell its callers or take from them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { containedUnavailable } from './contained.ts';
import { type HelperLab, startHelperLab, users } from './helper-lab.ts';
import { type HostileCaller, hasARun, hostileCaller, makeClosedFolder, type Words } from './hostile-caller.ts';

describe('a caller of the helper', { skip: containedUnavailable(), timeout: 170_000 }, () => {
  let it: HelperLab;
  let caller: HostileCaller;
  before(async () => {
    it = await startHelperLab();
    await makeClosedFolder(it);
    caller = hostileCaller(it);
  });
  after(() => it?.stop());

  const request: HostileCaller['request'] = (over, options) => caller.request(over, options);
  const speak: HostileCaller['speak'] = (asked, user) => caller.speak(asked, user);

  test('control: somebody who speaks its language has a run', () => hasARun(caller));

  describe('files that are closed to the caller', () => {
    test('are not read as policy, and not written as log', async () => {
      const policy = await it.exec('alice', [it.cofferdam, 'run', '--policy', '/run/closed/open/file', '--', 'true']);
      assert.equal(policy.code, 125);
      assert.match(policy.stderr, /permission denied/);
      assert.doesNotMatch(policy.stderr, /secret/);
      const log = await it.run(['--log', '/etc/cofferdam-log', '--', 'true']);
      assert.equal(log.code, 125);
      assert.match(log.stderr, /--log: EACCES/);
      assert.equal((await it.lab.exec('host', ['test', '-e', '/etc/cofferdam-log'])).code, 1);
      const link = join(it.home('alice'), 'link.jsonl');
      await it.exec('alice', ['ln', '-s', '/etc/cofferdam-log', link]);
      assert.match((await it.run(['--log', link, '--', 'true'])).stderr, /--log: EACCES/);
      assert.equal((await it.lab.exec('host', ['test', '-e', '/etc/cofferdam-log'])).code, 1);
    });

    test('cannot be shared or worked in, and it is not told whether they are there', async () => {
      const told = async (over: Words, options: Words): Promise<string> =>
        (await speak({ request: request(over, options) })).answers.at(-1)?.message ?? '';
      for (const path of ['/run/closed/open', '/run/closed/open/file', '/root/.ssh']) {
        const there = await told({}, { shares: [path] });
        const missing = await told({}, { shares: [`${path}-not`] });
        assert.equal(missing.replace('-not', ''), there, 'the same is said of what is not there');
        assert.match(there, /does not exist/);
        assert.match(await told({ cwd: path }, {}), /is not a directory/);
        assert.match(await told({}, { command: [path] }), /was not found/);
      }
      const masked = await speak({ request: request({}, { log: '/run/closed/open/file' }) });
      assert.match(masked.answers.at(-1)?.message ?? '', /does not exist/);
    });
  });

  test('variables reach the command, and nothing of root', async () => {
    const evil = join(it.home('alice'), 'evil.c');
    const library = join(it.home('alice'), 'evil.so');
    const seen = join(it.home('alice'), 'seen');
    const script = join(it.home('alice'), 'evil.cjs');
    await writeFile(
      evil,
      `#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void run(void) { FILE *f = fopen("${seen}", "a"); if (f) { fprintf(f, "library %d\\n", (int)geteuid()); fclose(f); } }
`,
    );
    await writeFile(script, `require('node:fs').appendFileSync('${seen}', 'node ' + process.geteuid() + '\\n');\n`);
    await writeFile(join(it.home('alice'), 'evil.sh'), `echo shell $(id -u) >> ${seen}\n`);
    const built = spawnSync('cc', ['-shared', '-fPIC', '-o', library, evil], { encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
    await it.root('install', '-m', '666', '/dev/null', seen);
    const env = {
      LD_PRELOAD: library,
      LD_AUDIT: library,
      NODE_OPTIONS: `--require=${script}`,
      BASH_ENV: join(it.home('alice'), 'evil.sh'),
      ENV: join(it.home('alice'), 'evil.sh'),
      PATH: `${it.home('alice')}:/usr/bin:/bin`,
      TOKEN_OF_ALICE: 'hers',
    };
    // By `env`, so that it counts for what alice starts and not for what brings her there.
    const assignments = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const inside = 'echo $TOKEN_OF_ALICE; for p in /proc/[0-9]*; do :; done; sleep 1';
    const started = it.spawn('alice', [
      'env',
      ...assignments,
      it.cofferdam,
      'run',
      '-q',
      '--policy',
      it.policy,
      '--',
      // With a socket for its input, as long as somebody holds the other end, bash takes itself for one that a remote shell started, and
      // reads no BASH_ENV.
      'sh',
      '-c',
      'exec bash -c "$0" < /dev/null',
      inside,
    ]);
    await started.waitFor(/hers/);
    const roots = await it.root(
      'sh',
      '-c',
      'for p in /proc/[0-9]*; do if [ "$(stat -c %u $p)" = 0 ] && tr "\\0" "\\n" < $p/environ | grep -q ^TOKEN_OF_ALICE; then tr "\\0" " " < $p/cmdline; fi; done 2>/dev/null; true',
    );
    const { code } = await started.ended;
    assert.equal(code, 0);
    // What put us there holds them too: it is the test's, as is what it started.
    assert.equal(roots, '', 'no process of root has them');
    const lines = new Set(readFileSync(seen, 'utf8').trim().split('\n'));
    for (const kind of ['library', 'node', 'shell'])
      assert.ok(
        lines.has(`${kind} ${users.alice}`),
        `control: ${kind} runs as alice: ${[...lines].join()}; the run said: ${started.stdout()} ${started.stderr()}`,
      );
    assert.deepEqual(
      [...lines].filter((line) => line.endsWith(' 0')),
      [],
    );
  });

  test('nothing of root’s run can be traced or entered by its user', async () => {
    const started = it.spawn('alice', [
      it.cofferdam,
      'run',
      '-q',
      '--policy',
      it.policy,
      '--',
      'sh',
      '-c',
      'echo ready; sleep 30',
    ]);
    await started.waitFor(/ready/);
    const script = `for p in $(pgrep -f 'helper --connectio[n]'); do cat /proc/$p/environ; ls /proc/$p/fd; nsenter --target $p --net true; kill $p; done; true`;
    const { stdout, stderr } = await it.exec('alice', ['sh', '-c', script]);
    await started.kill('SIGTERM');
    await started.ended;
    assert.equal(stdout, '');
    assert.equal(stderr.match(/Permission denied|not permitted/g)?.length, 4, stderr);
  });
});
