import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describeStep, installSteps, type Place, uninstallSteps } from '../src/install/steps.ts';
import { openPlace } from '../src/install/trusted-program.ts';
import { ownsGroup, unitFiles } from '../src/install/units.ts';

const program = ['/opt/cofferdam/node', '/opt/cofferdam/main.ts'];
const bare: Place = { root: '/', hasGroup: false, hasDatabase: true, socketText: undefined };
const shown = (steps: readonly Parameters<typeof describeStep>[0][]): readonly string[] => steps.map(describeStep);

test('an installation makes a group, two units and a socket, and no more', () => {
  assert.deepEqual(shown(installSteps(bare, program, ['alice'])), [
    'run    groupadd --system cofferdam',
    'run    usermod --append --groups cofferdam -- alice',
    'write  /etc/systemd/system/cofferdam-helper.socket',
    'write  /etc/systemd/system/cofferdam-helper@.service',
    'run    systemctl daemon-reload',
    'run    systemctl enable cofferdam-helper.socket',
    'run    systemctl restart cofferdam-helper.socket',
  ]);
});

test('what was made is taken away, from the last to the first', () => {
  const [socket] = unitFiles({ program, ownsGroup: true });
  assert.deepEqual(shown(uninstallSteps({ ...bare, hasGroup: true, socketText: socket!.text })), [
    'run    systemctl disable --now cofferdam-helper.socket',
    'run    systemctl stop cofferdam-helper@*.service',
    'remove /etc/systemd/system/cofferdam-helper.socket',
    'remove /etc/systemd/system/cofferdam-helper@.service',
    'run    systemctl daemon-reload',
    'remove /run/cofferdam/helper.sock',
    'run    groupdel cofferdam',
  ]);
  assert.deepEqual(uninstallSteps(bare), []);
});

test('a group that was there before stays, however often it is installed', () => {
  const first = installSteps({ ...bare, hasGroup: true }, program, []);
  const text = (steps: typeof first): string =>
    steps.flatMap((step) => (step.kind === 'write' ? [step.text] : []))[0] ?? '';
  assert.equal(ownsGroup(text(first)), false);
  const again = installSteps({ ...bare, hasGroup: true, socketText: text(first) }, program, []);
  assert.equal(text(again), text(first));
  assert.doesNotMatch(shown(uninstallSteps({ ...bare, hasGroup: true, socketText: text(first) })).join(), /groupdel/);
  const own = text(installSteps(bare, program, []));
  assert.equal(ownsGroup(own), true);
  assert.equal(text(installSteps({ ...bare, hasGroup: true, socketText: own }, program, [])), own);
});

test('below another root no service is touched', () => {
  const place: Place = { ...bare, root: '/srv/image' };
  const units = shown(installSteps({ ...place, hasDatabase: false }, program, []));
  assert.deepEqual(shown(installSteps(place, program, [])), [
    'run    groupadd --system --prefix /srv/image cofferdam',
    'write  /srv/image/etc/systemd/system/cofferdam-helper.socket',
    'write  /srv/image/etc/systemd/system/cofferdam-helper@.service',
  ]);
  assert.ok(
    units.every((line) => line.startsWith('write')) && units.length === 2,
    'a package makes the group where it is installed',
  );
});

test('systemd expands nothing in the words of the program', () => {
  const [, service] = unitFiles({ program: ['/opt/a b/$HOME/%n/"x"\\y'], ownsGroup: true });
  assert.match(
    service!.text,
    /^ExecStart="\/opt\/a b\/\$\$HOME\/%%n\/\\"x\\"\\\\y" "helper" "--connection" "--group" "cofferdam"$/m,
  );
});

describe('the units', () => {
  const known = spawnSync('systemd-analyze', ['--version']).status === 0;
  test('are ones that systemd reads', { skip: known ? false : 'systemd is not installed' }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'cofferdam-units-'));
    const complaints = (more: string): string => {
      for (const { path, text } of unitFiles({ program: ['/bin/true'], ownsGroup: true }))
        writeFileSync(join(directory, path.slice(path.lastIndexOf('/') + 1)), text + more);
      const words = ['verify', '--recursive-errors=no', '--man=no', join(directory, 'cofferdam-helper.socket')];
      const env = { ...process.env, SYSTEMD_UNIT_PATH: `${directory}:` };
      return spawnSync('systemd-analyze', words, { encoding: 'utf8', env }).stderr;
    };
    assert.match(complaints('Nonsense=1\n'), /cofferdam-helper@\.service:\d+: Unknown key/, 'control');
    assert.doesNotMatch(complaints(''), /cofferdam-helper/);
    rmSync(directory, { recursive: true });
  });
});

describe('a scratch root', { skip: process.getuid?.() === 0 ? false : 'it takes root to make groups' }, () => {
  const root = mkdtempSync(join(tmpdir(), 'cofferdam-root-'));
  after(() => rmSync(root, { recursive: true, force: true }));
  const cofferdam = fileURLToPath(new URL('../../../cofferdam', import.meta.url));
  const run = (...words: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(cofferdam, [...words, '--root', root], { encoding: 'utf8' });
    return { status, stdout, stderr };
  };
  /** Every file; not the copies that tools of user databases keep of what was before. */
  const tree = (): readonly string[] =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.name.endsWith('-'))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  const texts = (): string =>
    ['group', 'gshadow', 'passwd'].map((name) => readFileSync(join(root, 'etc', name), 'utf8')).join('---\n');

  test('is as it was after install and uninstall, with everything in between', () => {
    mkdirSync(join(root, 'etc'));
    writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n');
    writeFileSync(join(root, 'etc/group'), 'root:x:0:\nalice:x:1000:\n');
    writeFileSync(join(root, 'etc/gshadow'), 'root:*::\nalice:!::\n');
    const before = { tree: tree(), texts: texts() };

    const dry = run('install', '--dry-run', '--member', 'alice');
    assert.equal(dry.status, 0, dry.stderr);
    assert.match(dry.stdout, /ListenStream=\/run\/cofferdam\/helper\.sock/);
    assert.deepEqual({ tree: tree(), texts: texts() }, before, 'a dry run changes nothing');

    const installed = run('install', '--member', 'alice');
    assert.equal(installed.status, 0, installed.stderr);
    assert.match(texts(), /^cofferdam:x:\d+:alice$/m);
    assert.match(
      readFileSync(join(root, 'etc/systemd/system/cofferdam-helper@.service'), 'utf8'),
      /^ExecStart=".*main\.ts" "helper"/m,
    );
    const once = { tree: tree(), texts: texts() };
    assert.equal(run('install', '--member', 'alice').status, 0);
    assert.deepEqual({ tree: tree(), texts: texts() }, once, 'a second time changes nothing');

    assert.equal(run('uninstall').status, 0);
    assert.deepEqual({ tree: tree(), texts: texts() }, before);
    assert.match(run('uninstall').stdout, /nothing is installed/);
  });

  test('a member that does not exist is an error, and says so', () => {
    const { status, stderr } = run('install', '--member', 'nobody-here');
    assert.equal(status, 1);
    assert.match(stderr, /usermod: .*nobody-here/);
    assert.equal(run('install', '--member', '--root').status, 2);
    assert.equal(run('uninstall').status, 0);
  });
});

describe('a program that root runs', {
  skip: process.getuid?.() === 0 ? false : 'it takes root to own files as root',
}, () => {
  const directory = mkdtempSync('/var/lib/cofferdam-program-');
  after(() => rmSync(directory, { recursive: true, force: true }));

  test('must be root’s alone, in every part', () => {
    const inner = join(directory, 'tree', 'inner');
    mkdirSync(inner, { recursive: true });
    const file = join(inner, 'file');
    writeFileSync(file, '');
    chmodSync(file, 0o644);
    symlinkSync('/tmp', join(inner, 'link'));
    const tree = join(directory, 'tree');
    assert.equal(openPlace([tree]), undefined);
    for (const [path, mode] of [
      [file, 0o646],
      [inner, 0o757],
      [tree, 0o777],
      [directory, 0o757],
    ] as const) {
      chmodSync(path, mode);
      assert.equal(openPlace([tree]), path);
      chmodSync(path, 0o755);
    }
    spawnSync('chown', ['61234', file]);
    assert.equal(openPlace([tree]), file);
    spawnSync('chown', ['0:61234', file]);
    assert.equal(openPlace([tree]), undefined, 'a group that may not write');
    chmodSync(file, 0o664);
    assert.equal(openPlace([tree]), file);
    symlinkSync(inner, join(directory, 'by-link'));
    assert.equal(openPlace([join(directory, 'by-link')]), file, 'a link is followed to where it leads');
  });
});
