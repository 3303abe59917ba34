import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { aliases, type MountPoint, parseMountTable, pathsTo, placeOf } from '../src/mount-table.ts';
import { seed } from './seed.ts';

const text = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
23 22 0:21 / /proc rw,nosuid shared:12 master:3 - proc proc rw
24 22 0:5 / /run rw - tmpfs tmpfs rw
25 22 254:0 /home/u /mnt/a\\040b rw shared:1 - ext4 /dev/vda rw
26 22 0:40 /sub /srv rw - btrfs /dev/vdb rw
`;

test('mountinfo is read, escapes and optional fields included', () => {
  assert.deepEqual(parseMountTable(text), [
    { device: '254:0', root: '/', path: '/', type: 'ext4' },
    { device: '0:21', root: '/', path: '/proc', type: 'proc' },
    { device: '0:5', root: '/', path: '/run', type: 'tmpfs' },
    { device: '254:0', root: '/home/u', path: '/mnt/a b', type: 'ext4' },
    { device: '0:40', root: '/sub', path: '/srv', type: 'btrfs' },
  ]);
});

test('every truncation gives a prefix of the table, the last line whole or absent', () => {
  const whole = parseMountTable(text);
  for (let length = 0; length <= text.length; length += 1) {
    const part = parseMountTable(text.slice(0, length));
    // The type of the last line may be cut; all before it are the same.
    assert.deepEqual(part.slice(0, -1), whole.slice(0, Math.max(part.length - 1, 0)));
  }
});

const mounts = parseMountTable(text);

for (const [path, names] of [
  ['/home/u/a.sock', ['/home/u/a.sock', '/mnt/a b/a.sock']],
  ['/mnt/a b/a.sock', ['/mnt/a b/a.sock', '/home/u/a.sock']],
  ['/mnt/a b', ['/mnt/a b', '/home/u']],
  ['/home/user', ['/home/user']],
  ['/run/x', ['/run/x']],
  ['/srv/x', ['/srv/x']],
  ['/', ['/']],
] as const) {
  test(`the names of ${path}`, () => {
    assert.deepEqual(aliases(mounts, path), names);
  });
}

test('a path is among the paths to its own place', () => {
  const part = fc.constantFrom('a', 'b', 'c');
  const path = fc.array(part, { maxLength: 4 }).map((parts) => `/${parts.join('/')}`);
  const mount = fc.record({ device: fc.constantFrom('1:0', '2:0'), root: path, path, type: fc.constant('ext4') });
  const root: MountPoint = { device: '1:0', root: '/', path: '/', type: 'ext4' };
  fc.assert(
    fc.property(fc.array(mount, { maxLength: 5 }), path, (others, at) => {
      const table = [root, ...others];
      const place = placeOf(table, at);
      return place !== undefined && pathsTo(table, place).includes(at);
    }),
    { seed },
  );
});
