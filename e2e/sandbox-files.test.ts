/** Escapes by privileges and files, tried as an ordinary user and as root without capabilities. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { attack, isInstalled, type SandboxLab, sandboxUnavailable, startSandboxLab } from './sandbox-lab.ts';

const skip = sandboxUnavailable();

describe('privileges and files in the sandbox', { skip }, () => {
  let lab: SandboxLab;
  before(() => {
    lab = startSandboxLab();
  });
  after(() => lab?.stop());

  const holds: SandboxLab['holds'] = (command, options) => lab.holds(command, options);

  describe('privileges', () => {
    test('no capability, no new privileges', async () => {
      const status = (await lab.inside(['/bin/cat', '/proc/self/status'])).stdout;
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        assert.match(status, new RegExp(`^${set}:\\s0{16}$`, 'm'));
      assert.match(status, /^NoNewPrivs:\s1$/m);
      assert.match(status, /^Seccomp:\s2$/m);
      assert.match(status, new RegExp(`^Uid:(\\s${lab.uid}){4}$`, 'm'));
      assert.match(status, new RegExp(`^Gid:(\\s${lab.uid}){4}$`, 'm'));
      assert.match(status, new RegExp(`^Groups:\\s${lab.uid}\\s*$`, 'm'));
      // Of the 31 standard signals; a real-time one may come ignored from whoever started the tests.
      const ignored = BigInt(`0x${/^SigIgn:\s([0-9a-f]{16})$/m.exec(status)?.[1]}`);
      assert.equal(ignored & 0x7fffffffn, 0n);
      assert.match(status, /^SigBlk:\s0{16}$/m);
    });

    test('setuid programs gain nothing', async () => {
      const program = `${lab.home}/setuid-id`;
      copyFileSync('/usr/bin/id', program);
      chownSync(program, 0, 0);
      chmodSync(program, 0o4755);
      assert.equal((await lab.outside([program, '-u'])).stdout, '0\n');
      assert.equal((await lab.inside([program, '-u'])).stdout, `${lab.uid}\n`);
    });

    test('sudo and su do not work', async () => {
      for (const command of [
        ['sudo', '-n', 'id', '-u'],
        ['su', '-c', 'id -u'],
      ]) {
        if (!isInstalled(command[0]!)) continue;
        const tried = await lab.inside(command);
        assert.notEqual(tried.code, 0);
        assert.doesNotMatch(tried.stdout, /^0$/m);
      }
    });

    test('a preloaded library is loaded by the command alone', async () => {
      const tried = await lab.inside(['/bin/true'], { env: { LD_PRELOAD: '/none/such.so' } });
      assert.equal(tried.stderr.match(/cannot be preloaded/g)?.length, 1, tried.stderr);
    });

    test('root without capabilities writes nothing of the system', async () => {
      const user = { uid: 0, gid: 0, groups: [0], name: 'root', home: `${lab.home}/of-root` };
      chownSync(lab.directory(user.home), 0, 0);
      const status = (await lab.inside(['/bin/cat', '/proc/self/status'], { user })).stdout;
      assert.match(status, /^CapEff:\s0{16}$/m);
      assert.match(status, /^CapBnd:\s0{16}$/m);
      const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
      const script = `
for f in /etc/passwd /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /sys/power/state /usr/bin/id /var/lib; do
  if test -w $f; then echo writable $f; fi
done
(echo '|/bin/sh' > /proc/sys/kernel/core_pattern) 2>/dev/null && echo wrote
(echo x > /etc/cofferdam-test) 2>/dev/null && echo wrote
mount -o remount,rw / 2>/dev/null && echo remounted
mount -o remount,bind,rw / 2>/dev/null && echo remounted
(echo x > "$HOME/mine") && (echo x > /tmp/mine) && (echo x > /var/tmp/mine) && echo own places work`;
      const tried = await lab.inside(['/bin/sh', '-c', script], { user });
      assert.equal(tried.stdout, 'own places work\n', tried.stderr);
      assert.equal(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'), before);
    });

    test('root at / or in /etc does not open them', async () => {
      const user = { uid: 0, gid: 0, groups: [0], name: 'root', home: '/' };
      for (const cwd of ['/', '/etc', '/var']) {
        const tried = await lab.inside(['/bin/sh', '-c', 'touch ./cofferdam-test 2>/dev/null && echo wrote'], {
          user,
          cwd,
        });
        assert.equal(tried.stdout, '', cwd);
      }
    });
  });

  describe('files', () => {
    test('cron spools', async () => {
      const spool = lab.directory(`/var/spool/cron/cofferdam-${process.pid}`);
      const name = `${spool}/cofferdam-${process.pid}`;
      const write = attack(`open(sys.argv[1], 'w').write('# nothing')`, name);
      await holds(write);
      spawnSync('rm', ['-f', name]);
      await lab.inside(['/bin/sh', '-c', `mkdir -p ${spool}; echo x > ${name}`]);
      assert.equal(existsSync(name), false);
    });

    test('the files of the run, unless a share names one', async () => {
      const own = lab.directory(`${lab.home}/run-files`);
      writeFileSync(`${own}/key`, 'key');
      chownSync(`${own}/key`, lab.uid, lab.uid);
      writeFileSync(`${lab.home}/policy.yaml`, 'rules');
      const hidden = [own, `${lab.home}/policy.yaml`];
      await holds(attack('open(sys.argv[1]).read()', `${own}/key`), { hidden });
      await holds(attack('open(sys.argv[1]).read()', `${lab.home}/policy.yaml`), { hidden });
      assert.equal((await lab.inside(['/bin/cat', `${own}/key`], { hidden, shares: [`${own}/key`] })).stdout, 'key');
    });

    test('its own resolv.conf and name service', async () => {
      assert.equal((await lab.inside(['/bin/cat', '/etc/resolv.conf'])).stdout, 'nameserver 192.0.2.53\n');
      const names = (await lab.inside(['/bin/cat', '/etc/nsswitch.conf'])).stdout;
      assert.deepEqual(names.match(/^hosts:.*$/gm), ['hosts: files dns']);
      assert.notEqual((await lab.inside(['/bin/sh', '-c', 'echo > /etc/resolv.conf'])).code, 0);
    });

    test('its own resolv.conf where the machine has a link into /run', async () => {
      for (const target of ['../run/systemd/resolve/stub-resolv.conf', '/run/none-such/resolv.conf']) {
        const script =
          'mount -t tmpfs none /mnt && cp -a /etc /mnt/etc && ln -sf "$1" /mnt/etc/resolv.conf && mount --bind /mnt/etc /etc && shift && exec "$@"';
        const through = ['unshare', '-m', '/bin/sh', '-c', script, 'sh', target];
        const tried = await lab.inside(['/bin/cat', '/etc/resolv.conf'], { through });
        assert.equal(tried.stdout, 'nameserver 192.0.2.53\n', tried.stderr);
      }
    });

    test('devices are the harmless ones', async () => {
      const shown = (await lab.inside(['/bin/sh', '-c', 'cd /dev; find . ! -type d ! -type l'])).stdout
        .trim()
        .split('\n')
        .sort();
      assert.deepEqual(
        shown.filter((name) => !/^\.\/pts\//.test(name)),
        ['./full', './null', './random', './tty', './urandom', './zero'],
      );
    });

    test('a share that does not exist is refused, as one over a link that the user made', async () => {
      const missing = await lab.inside(['/bin/true'], { shares: ['/run/none-such.sock'] });
      assert.equal(missing.code, 125);
      assert.match(missing.stderr, /share-missing.*`\/run\/none-such\.sock`/);
      spawnSync('ln', ['-s', '/run', `${lab.home}/innocent`]);
      spawnSync('chown', ['-h', `${lab.uid}`, `${lab.home}/innocent`]);
      const aimed = await lab.inside(['/bin/true'], { shares: [`${lab.home}/innocent/dbus`] });
      assert.match(aimed.stderr, /share-(link|missing)/);
    });
  });
});
