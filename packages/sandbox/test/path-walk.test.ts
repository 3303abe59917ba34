import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isWithin, walkPath } from '../src/path-walk.ts';

let directory = '';
before(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'cofferdam-walk-')));
  mkdirSync(join(directory, 'a/b'), { recursive: true });
  writeFileSync(join(directory, 'a/b/file'), '');
  symlinkSync('a/b', join(directory, 'relative'));
  symlinkSync(`${directory}/a`, join(directory, 'absolute'));
  symlinkSync('../none/there', join(directory, 'a/dangling'));
  symlinkSync('loop', join(directory, 'loop'));
});
after(() => rmSync(directory, { recursive: true }));

for (const [path, real, kind, links] of [
  ['a/b/file', 'a/b/file', 'file', 0],
  ['relative/file', 'a/b/file', 'file', 1],
  ['absolute/../a/./b', 'a/b', 'directory', 1],
  ['absolute/b/../dangling', 'none/there', 'missing', 2],
  ['loop', 'loop', 'missing', 40],
  ['none', 'none', 'missing', 0],
] as const) {
  test(`${path} leads to ${real}`, () => {
    const place = walkPath(join(directory, path.includes('..') ? '' : path) + (path.includes('..') ? `/${path}` : ''));
    assert.deepEqual([place.real, place.kind, place.links.length], [join(directory, real), kind, links]);
  });
}

test('what lies within what', () => {
  assert.ok(isWithin('/', '/a') && isWithin('/a', '/a') && isWithin('/a', '/a/b'));
  assert.ok(!isWithin('/a', '/ab') && !isWithin('/a/b', '/a'));
});
