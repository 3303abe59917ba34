import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHidden, type Mount, orderMounts } from '../src/mount-plan.ts';

const mounts: readonly Mount[] = orderMounts([
  { kind: 'bind', path: '/run/user/1/bus' },
  { kind: 'nothing', path: '/home/u/a.sock' },
  { kind: 'private', path: '/run', mode: '0755' },
  { kind: 'devices', path: '/dev' },
  { kind: 'device-bind', path: '/dev/kvm' },
  { kind: 'nothing', path: '/run/user/1/bus' },
  { kind: 'bind', path: '/' },
]);

test('parents come before children, a share wins over a mask, and the way to it is made', () => {
  assert.deepEqual(
    mounts.map(({ kind, path }) => `${kind} ${path}`),
    [
      'bind /',
      'devices /dev',
      'private /run',
      'device-bind /dev/kvm',
      'directory /run/user',
      'nothing /home/u/a.sock',
      'directory /run/user/1',
      'bind /run/user/1/bus',
    ],
  );
});

for (const [path, hidden] of [
  ['/home/u', false],
  ['/home/u/a.sock', true],
  ['/home/u/a.sock2', false],
  ['/run', false],
  ['/run/docker.sock', true],
  ['/run/user/1', false],
  ['/run/user/1/gnupg', true],
  ['/run/user/1/bus', false],
  ['/runner', false],
  ['/dev/null', false],
  ['/dev/pts/3', false],
  ['/dev/kvm', false],
  ['/dev/vsock', true],
  ['/dev/nullx', true],
] as const) {
  test(`${path} is ${hidden ? 'hidden' : 'seen'}`, () => assert.equal(isHidden(mounts, path), hidden));
}
