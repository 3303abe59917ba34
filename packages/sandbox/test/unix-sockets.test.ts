import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseUnixTable } from '../src/unix-sockets.ts';

const text = `Num       RefCount Protocol Flags    Type St Inode Path
000000008268b5c8: 00000003 00000000 00000000 0001 03   583
00000000e3061775: 00000002 00000000 00010000 0001 01 20443 /run/docker.sock
00000000e3061776: 00000002 00000000 00000000 0002 01    71 /home/a user/agent sock
00000000e3061777: 00000002 00000000 00010000 0001 01 20445 @/tmp/.X11-unix/X0
00000000e3061778: 00000002 00000000 00010000 0001 01 20446 agent.sock
`;

test('sockets with a path are read, absolute or relative; abstract and unnamed ones are not', () => {
  assert.deepEqual(parseUnixTable(text), [
    { inode: '20443', path: '/run/docker.sock' },
    { inode: '71', path: '/home/a user/agent sock' },
    { inode: '20446', path: 'agent.sock' },
  ]);
});

test('no truncation is read as more than there is', () => {
  for (let length = 0; length <= text.length; length += 1) {
    const rows = parseUnixTable(text.slice(0, length));
    assert.ok(rows.length <= 3);
    assert.ok(rows.every((row) => text.includes(row.path)));
  }
});
