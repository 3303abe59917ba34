/** The sandbox of a user who must gain nothing by root making it: what they name is moved between the plan and the mounts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { asFileSystemUser, type OnBehalf, prepareSandbox, type SandboxRequest, startSandbox } from '@cofferdam/sandbox';
import { containedUnavailable } from './contained.ts';

const uid = 61_250;
const onBehalf: OnBehalf = { terminal: false, umask: 0o022, limits: [] };

describe('a sandbox on behalf of a user', { skip: containedUnavailable(), timeout: 60_000 }, () => {
  const network = `cfdobh${process.pid}`;
  /** Hidden in sandboxes, so that what CMD needs of it is mounted anew. */
  let work: string;
  /** The user's, and visible: masks are mounted in it. */
  let home: string;
  /** Closed to the user; what is in it is not. */
  let closed: string;
  const user = () => ({ uid, gid: uid, groups: [uid], name: 'probe', home });

  before(() => {
    assert.equal(spawnSync('ip', ['netns', 'add', network]).status, 0);
    work = mkdtempSync('/tmp/cofferdam-behalf-');
    home = mkdtempSync('/var/lib/cofferdam-behalf-');
    closed = mkdtempSync('/var/lib/cofferdam-closed-');
    mkdirSync(join(closed, 'project'));
    writeFileSync(join(closed, 'project', 'secret'), 'escaped');
    for (const path of [work, home]) {
      chmodSync(path, 0o755);
      chownSync(path, uid, uid);
    }
  });
  after(() => {
    spawnSync('ip', ['netns', 'del', network]);
    for (const path of [work, home, closed]) rmSync(path, { recursive: true, force: true });
  });

  interface Tried {
    /** `started`, or the code of the error. */
    readonly outcome: string;
    readonly message: string;
    readonly stdout: string;
  }

  /** Plans, lets the user move things, and starts. */
  const attempt = async (request: Partial<SandboxRequest>, move: () => void = () => undefined): Promise<Tried> => {
    const path = join(closed, 'output');
    const output = openSync(path, 'w');
    const plan = prepareSandbox({
      networkNamespace: `/run/netns/${network}`,
      user: user(),
      cwd: '/',
      env: { PATH: '/usr/bin:/bin' },
      shares: [],
      resolvConf: 'nameserver 192.0.2.53\n',
      hidden: [],
      command: ['true'],
      stdio: ['ignore', output, output],
      ...request,
    });
    try {
      if (!plan.ok) return { outcome: plan.error.code, message: plan.error.message, stdout: '' };
      move();
      const started = await startSandbox(plan.value);
      if (started.ok) await started.value.wait();
      const stdout = readFileSync(path, 'utf8');
      return started.ok
        ? { outcome: 'started', message: '', stdout }
        : { outcome: started.error.code, message: started.error.message, stdout };
    } finally {
      closeSync(output);
    }
  };
  const place = (path: string): string => {
    mkdirSync(path);
    chownSync(path, uid, uid);
    return path;
  };

  test('a directory that becomes a link to one that is closed to them', async () => {
    for (const [n, what] of (['shares', 'cwd'] as const).entries()) {
      for (const behalf of [undefined, onBehalf]) {
        const path = place(join(work, `moved-${n}-${behalf === undefined ? 'root' : 'user'}`));
        const request = what === 'cwd' ? { cwd: path } : { shares: [path] };
        const command = ['cat', join(path, 'secret')];
        const { outcome, message, stdout } = await attempt({ ...request, command, onBehalf: behalf }, () => {
          renameSync(path, `${path}-before`);
          symlinkSync(join(closed, 'project'), path);
        });
        if (behalf === undefined)
          assert.equal(stdout, 'escaped', `control: root mounts where the link of ${what} leads`);
        else {
          assert.equal(outcome, 'sandbox-failed');
          assert.match(message, /Permission denied/);
          assert.equal(stdout, '', 'nothing was said to a descriptor of the user');
        }
      }
    }
  });

  test('a socket whose directory becomes a link: no file is made where it leads', async () => {
    for (const behalf of [undefined, onBehalf]) {
      const name = behalf === undefined ? 'made-by-root' : 'made-for-user';
      const directory = place(join(home, name));
      const server = createServer();
      await new Promise<void>((settle) => server.listen(join(directory, name), settle));
      const target = join(closed, 'project');
      chmodSync(closed, 0o755);
      const tried = await attempt({ onBehalf: behalf }, () => {
        renameSync(directory, `${directory}-before`);
        // Relative, since an absolute one leads nowhere while the mounts are made.
        symlinkSync(`../../..${target}`, directory);
      });
      chmodSync(closed, 0o700);
      // Before the server ends, which removes what has the path of its socket.
      const made = existsSync(join(target, name));
      server.close();
      if (behalf === undefined)
        assert.ok(made, `control: root makes a file to mount the mask over: ${JSON.stringify(tried)}`);
      else assert.ok(!made);
    }
  });

  test('what is closed to them is not there, whatever is in it', async () => {
    const there = await attempt({ shares: [join(closed, 'project')], onBehalf });
    const missing = await attempt({ shares: [join(closed, 'nothing')], onBehalf });
    assert.deepEqual([there.outcome, missing.outcome], ['share-missing', 'share-missing']);
    assert.equal((await attempt({ shares: [join(closed, 'project')] })).outcome, 'started', 'control');
    const cwd = await attempt({ cwd: join(closed, 'project'), onBehalf });
    assert.equal(cwd.outcome, 'cwd-missing');
    const program = await attempt({ command: [join(closed, 'project', 'secret')], onBehalf });
    assert.equal(program.outcome, 'command-not-found');
  });

  test('a socket behind a closed directory, of those that are hidden, cannot be shared', async () => {
    const directory = join('/run', `cofferdam-behalf-${process.pid}`);
    mkdirSync(directory, { mode: 0o700 });
    const socket = join(directory, 'open');
    const server = createServer((client) => client.end('escaped'));
    await new Promise<void>((settle) => server.listen(socket, settle));
    chmodSync(socket, 0o777);
    const command = ['nc', '-U', '-d', socket];
    const control = await attempt({ shares: [socket], command });
    const tried = await attempt({ shares: [socket], command, onBehalf });
    server.close();
    rmSync(directory, { recursive: true });
    assert.equal(control.stdout, 'escaped', 'control: made by root, the way to it is open');
    assert.deepEqual([tried.outcome, tried.stdout], ['share-missing', '']);
  });

  test('looking as a user is over when it is over', () => {
    const look = (): string => readFileSync(join(closed, 'project', 'secret'), 'utf8');
    assert.throws(() => asFileSystemUser(user(), look), /EACCES/);
    assert.equal(look(), 'escaped');
    asFileSystemUser(user(), () => {
      const other = asFileSystemUser({ ...user(), uid: uid + 1 }, () => readFileSync('/etc/hosts', 'utf8'));
      assert.notEqual(other, '');
      assert.throws(look, /EACCES/, 'the one inside gives back the one outside');
    });
    assert.equal(look(), 'escaped');
  });
});
