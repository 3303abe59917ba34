/** Whether a contained user could change the policy: asked of the kernel, so with real owners, modes and ACLs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type ContainedUser, writableBy } from '@cofferdam/sandbox';
import { python, sandboxUnavailable } from './sandbox-lab.ts';

const skip = sandboxUnavailable();
const user: ContainedUser = { uid: 61_500, gid: 61_501, groups: [61_501, 61_502], name: 'probe', home: '/' };

/** Gives user 61500 (or group 61502) read and write in the ACL, whatever the mode says: posix_acl_access, version 2. */
const acl = `
import os, struct, sys
none = 0xffffffff
entries = [(1, 6, none), (int(sys.argv[2]), 6, int(sys.argv[3])), (4, 0, none), (16, 6, none), (32, 0, none)]
entries.sort()
os.setxattr(sys.argv[1], 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *e) for e in entries))`;

describe('a policy that the command could write', { skip }, () => {
  let root = '';
  let tree = '';
  let count = 0;
  before(() => {
    root = mkdtempSync('/var/lib/cofferdam-writable-');
    chmodSync(root, 0o755);
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  /** A fresh tree: root's directory `a`, in it root's directory `b`, in it root's `policy.yaml`, none writable by others. */
  function fresh(): void {
    count += 1;
    tree = `${root}/${count}`;
    mkdirSync(`${tree}/a/b`, { recursive: true });
    writeFileSync(`${tree}/a/b/policy.yaml`, '', { mode: 0o644 });
  }

  function give(path: string, uid: number, gid: number, mode: number): void {
    chownSync(tree + path, uid, gid);
    chmodSync(tree + path, mode);
  }

  /** A file that all may write, in a directory that only root may enter. */
  function closeAround(directory: string, file: string): void {
    chmodSync(tree + file, 0o666);
    chmodSync(tree + directory, 0o700);
  }

  for (const [what, change, reason] of [
    ['nothing', () => {}, undefined],
    [
      "the file is the user's, and read-only",
      () => give('/a/b/policy.yaml', 61_500, 0, 0o400),
      /policy\.yaml` belongs/,
    ],
    ['the file is writable by all', () => chmodSync(`${tree}/a/b/policy.yaml`, 0o666), /policy\.yaml` is writable/],
    [
      'the file is writable by the first group',
      () => give('/a/b/policy.yaml', 0, 61_501, 0o664),
      /policy\.yaml` is writable/,
    ],
    [
      'the file is writable by another group',
      () => give('/a/b/policy.yaml', 0, 61_502, 0o664),
      /policy\.yaml` is writable/,
    ],
    ['the file is writable by a strange group', () => give('/a/b/policy.yaml', 0, 61_503, 0o664), undefined],
    [
      'an ACL names the user',
      () => spawnSync(python, ['-c', acl, `${tree}/a/b/policy.yaml`, '2', '61500']),
      /policy\.yaml` is writable/,
    ],
    [
      'an ACL names a group',
      () => spawnSync(python, ['-c', acl, `${tree}/a/b/policy.yaml`, '8', '61502']),
      /policy\.yaml` is writable/,
    ],
    [
      'an ACL names somebody else',
      () => spawnSync(python, ['-c', acl, `${tree}/a/b/policy.yaml`, '2', '61504']),
      undefined,
    ],
    ['its directory is writable', () => chmodSync(`${tree}/a/b`, 0o777), /directory `.*\/a\/b` is writable/],
    ['its directory is writable and sticky', () => chmodSync(`${tree}/a/b`, 0o1777), undefined],
    ['a directory above is writable', () => chmodSync(`${tree}/a`, 0o777), /directory `.*\/a` is writable/],
    ["a directory above is the user's", () => chownSync(`${tree}/a`, 61_500, 0), /\/a` belongs/],
    ['writable, but out of reach', () => closeAround('/a/b', '/a/b/policy.yaml'), undefined],
  ] as const) {
    test(`${what}: ${reason === undefined ? 'safe' : 'reported'}`, () => {
      fresh();
      change();
      const found = writableBy(user, `${tree}/a/b/policy.yaml`);
      if (reason === undefined) assert.equal(found, undefined);
      else assert.match(found ?? 'nothing', reason);
    });
  }

  test('a link to it from a directory of the user is reported', () => {
    fresh();
    mkdirSync(`${tree}/home`);
    chownSync(`${tree}/home`, 61_500, 0);
    symlinkSync(`${tree}/a/b/policy.yaml`, `${tree}/home/policy.yaml`);
    assert.match(writableBy(user, `${tree}/home/policy.yaml`) ?? 'nothing', /home` belongs/);
  });

  test('a policy yet to be written, in a directory of the user, is reported', () => {
    fresh();
    chownSync(`${tree}/a/b`, 61_500, 0);
    assert.match(writableBy(user, `${tree}/a/b/other.yaml`) ?? 'nothing', /a\/b` belongs/);
  });

  test('for root, what is read-only inside does not count', () => {
    fresh();
    const superuser = { ...user, uid: 0, gid: 0, groups: [0] };
    assert.match(writableBy(superuser, `${tree}/a/b/policy.yaml`) ?? 'nothing', /belongs to user 0/);
    assert.equal(writableBy(superuser, `${tree}/a/b/policy.yaml`, ['/root', '/tmp']), undefined);
    assert.match(writableBy(superuser, `${tree}/a/b/policy.yaml`, [`${tree}/a`]) ?? 'nothing', /belongs to user 0/);
  });
});
