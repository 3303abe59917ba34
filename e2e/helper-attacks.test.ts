/** What a member of the helper’s group, somebody outside it, or a contained command would like to gain by the helper. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { containedUnavailable } from './contained.ts';
import { type HelperLab, helperGroup, helperSocket, startHelperLab, users } from './helper-lab.ts';
import { type HostileCaller, hasARun, hostileCaller, makeClosedFolder, type Words } from './hostile-caller.ts';

describe('the helper', { skip: containedUnavailable(), timeout: 170_000 }, () => {
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
  const ranAsAlice = `ran as ${users.alice} `;

  test('control: somebody who speaks its language has a run', () => hasARun(caller));

  describe('who asks', () => {
    test('nobody outside its group', async () => {
      const { answers, stderr } = await speak({ request: request() }, 'mallory');
      assert.match(stderr, /PermissionError/);
      assert.deepEqual(answers, []);
    });

    test('even where the socket lets them, the kernel says who is in the group', async () => {
      await it.root('chmod', '666', helperSocket);
      const { answers } = await speak({ request: request() }, 'mallory');
      await it.root('chmod', '660', helperSocket);
      assert.match(answers[0]?.message ?? '', /not in the group/);
      assert.equal(answers.length, 1);
    });

    test('is who the kernel says, whatever the request says', async () => {
      const claims = {
        uid: 0,
        gid: 0,
        groups: [0],
        user: { uid: 0, gid: 0, groups: [0], name: 'root', home: '/root' },
      };
      const env = [
        ['PATH', '/usr/bin:/bin'],
        ['SUDO_UID', '0'],
        ['SUDO_GID', '0'],
        ['USER', 'root'],
        ['PKEXEC_UID', '0'],
      ];
      const { written } = await speak({ request: request({ ...claims, env }, claims) });
      assert.ok(written.startsWith(ranAsAlice), written);
    });

    test('somebody whose first group is that of the helper, by newgrp: the command has not', async () => {
      const { stdout } = await it.lab.exec('host', [
        'setpriv',
        `--reuid=${users.alice}`,
        `--regid=${helperGroup}`,
        `--groups=${users.alice},${helperGroup}`,
        ...caller.words({ request: request() }),
      ]);
      assert.match(stdout, new RegExp(`^ran as ${users.alice} ${users.alice}$`, 'm'));
    });

    test('not root, who could have anything', async () => {
      assert.match(await it.root(...caller.words({ request: request() })), /root needs no helper/);
    });

    test('not from a namespace of their own', async () => {
      const words = ['unshare', '--user', '--map-root-user', '--mount', ...caller.words({ request: request() })];
      const { stdout } = await it.exec('alice', words);
      assert.match(stdout, /another (mnt|user) namespace/);
    });

    test('the contained command is not: it finds no socket, and where it is shown one it is not in the group', async () => {
      const attack = caller.words({ request: request() });
      const control = await it.exec('alice', attack);
      assert.match(control.stdout, /ran as/, 'control: outside it works');
      const hidden = await it.run(['--', ...attack]);
      assert.match(hidden.stderr, /FileNotFoundError/);
      const shown = await it.run(['--share', '/run/cofferdam', '--', ...attack]);
      assert.match(shown.stderr, /PermissionError/);
      await it.root('chmod', '666', helperSocket);
      const open = await it.run(['--share', '/run/cofferdam', '--', ...attack]);
      await it.root('chmod', '660', helperSocket);
      assert.match(open.stdout, /not in the group/);
      for (const { stdout } of [hidden, shown, open]) assert.doesNotMatch(stdout, /ran as|started/);
      const sudo = await it.lab.exec(
        'host',
        [it.cofferdam, 'run', '-q', '--policy', it.policy, '--share', '/run/cofferdam', '--', ...attack],
        {
          env: { SUDO_UID: String(users.alice), SUDO_GID: String(users.alice) },
        },
      );
      assert.match(sudo.stderr, /PermissionError/, 'nor one that was started by sudo');
    });
  });

  describe('what it says', () => {
    const refused = async (asked: Words, why: RegExp): Promise<void> => {
      const { answers, written } = await speak(asked);
      assert.equal(written, '', JSON.stringify(asked));
      assert.match(answers.map(({ kind, message }) => `${kind}: ${message}`).join('\n'), why);
    };

    test('another language is refused', async () => {
      await refused({ head: '0000000000000000' }, /another language/);
      await refused({ head: '63666472ffffffff' }, /another language/);
      await refused({ body: 'not json' }, /no JSON object/);
      await refused({ body: '[]' }, /no JSON object/);
      await refused({ request: {} }, /version/);
      await refused({ request: request({ version: 1 }) }, /version 1, not 2/);
      const unclean: readonly [Words, Words][] = [
        [{ cwd: 'relative' }, {}],
        [{ cwd: '/a\0b' }, {}],
        [{ env: [['A']] }, {}],
        [{ env: [['A', 'b\0c']] }, {}],
        [{ umask: -1 }, {}],
        [{ umask: 0o7777 }, {}],
        [{ sources: [] }, {}],
        [{ sources: ['/etc/shadow'] }, {}],
        [{}, { shares: ['relative'] }],
        [{}, { publish: [0] }],
        [{}, { hostPorts: ['22'] }],
        [{}, { dnsMode: 'none' }],
        [{}, { command: [] }],
        [{}, { command: ['a\0b'] }],
        [{}, { log: 'relative' }],
      ];
      for (const [over, options] of unclean)
        await refused({ request: request(over, options) }, /does not understand the request/);
    });

    test('a policy that its parser refuses makes no run', async () => {
      await refused(
        { request: request({ sources: [{ file: 'x', text: 'kind: Nonsense' }] }) },
        /the policy has errors/,
      );
    });

    test('ports that only root may open', async () => {
      await refused({ request: request({}, { publish: [80] }) }, /port 80 can be opened by root only/);
    });

    test('resolvers that are none', async () => {
      await refused({ request: request({}, { resolvers: ['/etc/passwd'] }) }, /not an address/);
    });

    test('a terminal that is none, or that is another’s', async () => {
      await refused({ request: request({ terminal: true }) }, /no terminal/);
    });
  });

  describe('what it sends beside it', () => {
    const refused = async (asked: Words, why: RegExp): Promise<void> => {
      const { answers, written } = await speak({ request: request(), ...asked });
      assert.equal(written, '');
      assert.match(answers.map(({ message }) => message).join(), why);
    };

    test('too few descriptors, too many, or some with the request', async () => {
      await refused({ descriptors: [] }, /must be open/);
      await refused({ descriptors: ['/dev/null', '-'] }, /must be open/);
      await refused({ descriptors: ['/dev/null', '-', '-', '/dev/null'] }, /more than 3 descriptors/);
      await refused({ descriptors: Array.from({ length: 200 }, () => '/dev/null') }, /more than 3 descriptors/);
      await refused({ late: ['/dev/null'] }, /more than 0 descriptors/);
    });

    test('directories and places, which lead past what is hidden', async () => {
      await refused({ descriptors: ['/run', '-', '-'] }, /no directories/);
      await refused({ descriptors: ['O_PATH:/run', '-', '-'] }, /no directories/);
      await refused({ descriptors: ['O_PATH:/etc/passwd', '-', '-'] }, /no directories/);
    });

    test('nothing but the streams reaches the command', async () => {
      const { written } = await speak({ request: request({}, { command: ['sh', '-c', 'ls /proc/self/fd'] }) });
      // The fourth is the directory that ls reads.
      assert.equal(written, '0\n1\n2\n3');
    });

    test('root writes to none of them, also where it fails', async () => {
      const file = join(it.home('alice'), 'said');
      const descriptors = ['/dev/null', file, file];
      const { answers } = await speak({ descriptors, request: request({ cwd: '/run/closed/open' }) });
      assert.match(answers.at(-1)?.message ?? '', /is not a directory/);
      const shares = await speak({ descriptors, request: request({ cwd: '/root' }) });
      assert.match(shares.answers.at(-1)?.message ?? '', /bubblewrap ended early.*Permission denied/);
      assert.equal(readFileSync(file, 'utf8'), '');
    });
  });

  test('a caller that says nothing is sent away, and others go on meanwhile', async () => {
    const started = it.spawn('alice', caller.words({ silent: true }));
    const { written } = await speak({ request: request() });
    assert.ok(written.startsWith(ranAsAlice));
    const { stdout } = await started.ended;
    assert.match(stdout, /said nothing for too long/);
  });

  test('after all this it still serves', async () => {
    await chmod(it.policy, 0o600);
    assert.equal((await it.run(['--', 'true'])).code, 0);
    assert.equal(await it.root('sh', '-c', 'nft list tables | grep cofferdam || true'), '');
  });
});
