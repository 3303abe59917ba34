import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Host } from '../src/host.ts';
import { isHidden } from '../src/mount-plan.ts';
import type { Place, PlaceKind } from '../src/path-walk.ts';
import { prepareSandbox, type SandboxRequest, type SandboxSpec } from '../src/prepare.ts';

type Entry = PlaceKind | { readonly link: string; readonly owner: number };

const entries: Readonly<Record<string, Entry>> = {
  '/bin/sh': 'file',
  '/etc/resolv.conf': 'file',
  '/etc/nsswitch.conf': 'file',
  '/etc/cron.d': 'directory',
  '/sys': 'directory',
  '/proc/sys': 'directory',
  '/run': 'directory',
  '/run/docker.sock': 'socket',
  '/run/user/1000/bus': 'socket',
  '/var/run': { link: '/run', owner: 0 },
  '/tmp': 'directory',
  '/tmp/work': 'directory',
  '/tmp/work/dev.sock': 'socket',
  '/tmp/agent': 'file',
  '/dev/kvm': 'device',
  '/home/u': 'directory',
  '/home/u/.gnupg/S.gpg-agent': 'socket',
  '/home/u/trap': { link: '/run/docker.sock', owner: 1000 },
  '/home/u/policy.yaml': 'file',
  '/home/u/state': 'directory',
  '/second/u': 'directory',
  '/second/u/.gnupg/S.gpg-agent': 'socket',
  '/root': 'directory',
  '/etc': 'directory',
  '/': 'directory',
  '/srv/proc': 'directory',
  '/net': 'directory',
};

/** A machine of these entries; only whole components are links. */
function machine(changes: Readonly<Record<string, Entry | undefined>> = {}): Host {
  const all: Record<string, Entry | undefined> = { ...entries, ...changes };
  const place = (path: string): Place => {
    for (const [from, entry] of Object.entries(all)) {
      if (entry === undefined || typeof entry === 'string' || !(path === from || path.startsWith(`${from}/`))) continue;
      const target = place(entry.link + path.slice(from.length));
      return { ...target, links: [{ path: from, owner: entry.owner }, ...target.links] };
    }
    const entry = all[path];
    return { real: path, kind: typeof entry === 'string' ? entry : 'missing', links: [] };
  };
  return {
    mounts: [
      { device: '8:1', root: '/', path: '/', type: 'ext4' },
      { device: '8:1', root: '/home/u', path: '/second/u', type: 'ext4' },
      { device: '0:9', root: '/', path: '/srv/proc', type: 'proc' },
      { device: '0:8', root: '/', path: '/net', type: 'autofs' },
    ],
    sockets: ['/run/docker.sock', '/run/user/1000/bus', '/tmp/work/dev.sock', '/home/u/.gnupg/S.gpg-agent'],
    place,
    text: (path) => (all[path] === 'file' ? 'passwd: files\nhosts: resolve\n' : undefined),
  };
}

const request: SandboxRequest = {
  networkNamespace: '/run/netns/x',
  user: { uid: 1000, gid: 1000, groups: [1000], name: 'u', home: '/home/u' },
  cwd: '/home/u',
  env: { PATH: '/usr/bin:/bin' },
  shares: [],
  resolvConf: 'nameserver 10.0.0.1\n',
  hidden: [],
  command: ['sh', '-c', 'true'],
};

function plan(changes: Partial<SandboxRequest> = {}, host: Host = machine()): SandboxSpec {
  const planned = prepareSandbox({ ...request, ...changes }, host);
  assert.ok(planned.ok, planned.ok ? '' : planned.error.message);
  return planned.value;
}

function refusal(changes: Partial<SandboxRequest>, host: Host = machine()): string {
  const planned = prepareSandbox({ ...request, ...changes }, host);
  return planned.ok ? 'accepted' : planned.error.code;
}

describe('what an ordinary user sees', () => {
  for (const [path, hidden] of [
    ['/home/u', false],
    ['/etc/passwd', false],
    ['/run/docker.sock', true],
    ['/run/user/1000/bus', true],
    ['/tmp/work/dev.sock', true],
    ['/home/u/.gnupg/S.gpg-agent', true],
    ['/second/u/.gnupg/S.gpg-agent', true],
    ['/home/u/.gnupg/pubring.kbx', false],
    ['/srv/proc/1', true],
    ['/net/server', true],
    ['/dev/kvm', true],
  ] as const) {
    test(`${path} is ${hidden ? 'hidden' : 'seen'}`, () => assert.equal(isHidden(plan().mounts, path), hidden));
  }

  test('a working directory in /tmp comes back, the sockets in it do not', () => {
    const { mounts } = plan({ cwd: '/tmp/work' });
    assert.equal(isHidden(mounts, '/tmp/work/notes'), false);
    assert.equal(isHidden(mounts, '/tmp/work/dev.sock'), true);
    assert.equal(isHidden(mounts, '/tmp/agent'), true);
  });

  test('/tmp itself as the working directory is the private one', () => {
    assert.equal(isHidden(plan({ cwd: '/tmp' }).mounts, '/tmp/agent'), true);
  });
});

describe('shares', () => {
  test('a socket, with a warning of what it means', () => {
    const spec = plan({ shares: ['/var/run/docker.sock'] });
    assert.equal(isHidden(spec.mounts, '/run/docker.sock'), false);
    assert.equal(isHidden(spec.mounts, '/run/user/1000/bus'), true);
  });

  test('a directory brings back what listens in it', () => {
    const spec = plan({ shares: ['/tmp/work'] });
    assert.equal(isHidden(spec.mounts, '/tmp/work/dev.sock'), false);
    assert.match(spec.warnings.join('\n'), /`\/tmp\/work\/dev\.sock` is shared/);
  });

  test('a device keeps being one', () => {
    assert.ok(
      plan({ shares: ['/dev/kvm'] }).mounts.some((mount) => mount.kind === 'device-bind' && mount.path === '/dev/kvm'),
    );
  });

  for (const [share, code] of [
    ['/run/none', 'share-missing'],
    ['run/docker.sock', 'share-relative'],
    ['/home/u/trap', 'share-link'],
    ['/', 'share-too-wide'],
    ['/proc/sys', 'share-too-wide'],
    ['/sys', 'share-too-wide'],
  ] as const) {
    test(`${share}: ${code}`, () => assert.equal(refusal({ shares: [share] }), code));
  }

  test('variables that point at what is shared stay', () => {
    const env = {
      PATH: '/bin',
      DOCKER_HOST: 'unix:///var/run/docker.sock',
      SSH_AUTH_SOCK: '/home/u/.gnupg/S.gpg-agent',
    };
    const spec = plan({ env, shares: ['/run/docker.sock'] });
    assert.equal(spec.environment.get('DOCKER_HOST'), env.DOCKER_HOST);
    assert.deepEqual(spec.removedVariables, ['SSH_AUTH_SOCK']);
  });
});

describe('the files of the run', () => {
  test('are hidden under each of their names, and a share may name one', () => {
    const hidden = ['/home/u/policy.yaml', '/home/u/state'];
    const spec = plan({ hidden, shares: ['/home/u/policy.yaml'] });
    assert.equal(isHidden(spec.mounts, '/home/u/state/key'), true);
    assert.equal(isHidden(spec.mounts, '/home/u/policy.yaml'), false);
    assert.equal(
      isHidden(plan({ hidden }, machine({ '/second/u/policy.yaml': 'file' })).mounts, '/second/u/policy.yaml'),
      true,
    );
  });

  test('must exist', () => assert.equal(refusal({ hidden: ['/home/u/none'] }), 'hidden-missing'));
});

describe('names', () => {
  const data = (spec: SandboxSpec) =>
    Object.fromEntries(spec.mounts.flatMap((mount) => (mount.kind === 'data' ? [[mount.path, mount.content]] : [])));

  test("resolv.conf and nsswitch.conf are the run's", () => {
    assert.deepEqual(data(plan()), {
      '/etc/resolv.conf': 'nameserver 10.0.0.1\n',
      '/etc/nsswitch.conf': 'passwd: files\nhosts: files dns\n',
    });
  });

  test('a link into /run is followed, also where it dangles', () => {
    const host = machine({ '/etc/resolv.conf': { link: '/run/systemd/resolve/stub-resolv.conf', owner: 0 } });
    assert.ok('/run/systemd/resolve/stub-resolv.conf' in data(plan({}, host)));
    assert.ok(
      plan({}, host).mounts.some((mount) => mount.kind === 'directory' && mount.path === '/run/systemd/resolve'),
    );
  });

  test('no resolv.conf at all is refused, no nsswitch.conf is not', () => {
    assert.equal(refusal({}, machine({ '/etc/resolv.conf': undefined })), 'no-resolv-conf');
    assert.deepEqual(Object.keys(data(plan({}, machine({ '/etc/nsswitch.conf': undefined })))), ['/etc/resolv.conf']);
  });
});

describe('root', () => {
  const user = { uid: 0, gid: 0, groups: [0], name: 'root', home: '/root' };

  test('sees a read-only system and its own places writable', () => {
    const spec = plan({ user, cwd: '/tmp/work' });
    assert.ok(spec.mounts.some((mount) => mount.kind === 'read-only' && mount.path === '/'));
    assert.deepEqual(spec.writable, ['/tmp/work', '/root', '/tmp', '/var/tmp']);
    assert.ok(spec.mounts.some((mount) => mount.kind === 'read-only' && mount.path === '/proc/sys'));
  });

  for (const cwd of ['/', '/etc']) {
    test(`${cwd} stays read-only, and a warning says so`, () => {
      const spec = plan({ user, cwd });
      assert.deepEqual(spec.writable, ['/root', '/tmp', '/var/tmp']);
      assert.match(spec.warnings.join('\n'), new RegExp(`\`${cwd}\` is read-only`));
    });
  }
});

describe('the command', () => {
  for (const [command, code] of [
    [[], 'no-command'],
    [['none'], 'command-not-found'],
    [['./none'], 'command-not-found'],
    [['/tmp/agent'], 'command-hidden'],
    [['/bin/sh'], 'accepted'],
    [['../../bin/sh'], 'accepted'],
  ] as const) {
    test(`${JSON.stringify(command)}: ${code}`, () => assert.equal(refusal({ command }), code));
  }

  test('a hidden program may be shared', () =>
    assert.equal(refusal({ command: ['/tmp/agent'], shares: ['/tmp/agent'] }), 'accepted'));
  test('a working directory that is none', () => assert.equal(refusal({ cwd: '/home/none' }), 'cwd-missing'));
});
