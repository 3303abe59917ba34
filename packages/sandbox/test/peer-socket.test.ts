import assert from 'node:assert/strict';
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  connectToSocket,
  peerOf,
  receiveWithDescriptors,
  SocketError,
  sendWithDescriptors,
  setReadTimeout,
  socketPair,
} from '../src/peer-socket.ts';

const pair = (use: (ours: number, theirs: number) => void): void => {
  const [ours, theirs] = socketPair();
  try {
    use(ours, theirs);
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
};
const openFiles = (): number => readdirSync('/proc/self/fd').length;

test('descriptors arrive with the bytes they were sent with, as other numbers for the same files', () => {
  const before = openFiles();
  pair((ours, theirs) => {
    const file = openSync('/etc/passwd', 'r');
    sendWithDescriptors(ours, Buffer.from('hello'), [file, 1, file]);
    const { bytes, descriptors } = receiveWithDescriptors(theirs, 5, 3);
    assert.equal(bytes.toString(), 'hello');
    assert.equal(descriptors.length, 3);
    const [first, output] = descriptors;
    assert.ok(first !== file);
    assert.equal(fstatSync(first!).ino, fstatSync(file).ino);
    assert.equal(fstatSync(output!).ino, fstatSync(1).ino);
    const text = Buffer.alloc(4);
    readSync(first!, text, 0, 4, 0);
    assert.equal(text.toString(), readFileSync('/etc/passwd', 'utf8').slice(0, 4));
    for (const fd of [...descriptors, file]) closeSync(fd);
  });
  assert.equal(openFiles(), before);
});

test('none of too many stays open, however many there are', () => {
  for (const many of [2, 3, 4, 5, 50, 250]) {
    pair((ours, theirs) => {
      const before = openFiles();
      sendWithDescriptors(
        ours,
        Buffer.from('x'),
        Array.from({ length: many }, () => 1),
      );
      assert.throws(() => receiveWithDescriptors(theirs, 1, 1), /more than 1 descriptors/);
      assert.equal(openFiles(), before, `${many} were sent`);
    });
  }
});

test('descriptors in several messages count together', () => {
  pair((ours, theirs) => {
    const before = openFiles();
    for (let i = 0; i < 3; i += 1) sendWithDescriptors(ours, Buffer.from('x'), [1]);
    assert.throws(() => receiveWithDescriptors(theirs, 3, 2), /more than 2 descriptors/);
    assert.equal(openFiles(), before);
  });
});

test('a message may come in pieces, and may be large', () => {
  pair((ours, theirs) => {
    for (const piece of ['ab', 'c', 'def']) sendWithDescriptors(ours, Buffer.from(piece), []);
    assert.equal(receiveWithDescriptors(theirs, 6, 0).bytes.toString(), 'abcdef');
    sendWithDescriptors(ours, Buffer.alloc(100_000, 'z'), []);
    assert.equal(receiveWithDescriptors(theirs, 100_000, 0).bytes.toString('latin1'), 'z'.repeat(100_000));
  });
});

test('an end before the last byte shows', () => {
  const [ours, theirs] = socketPair();
  writeSync(ours, 'abc');
  closeSync(ours);
  assert.equal(receiveWithDescriptors(theirs, 10, 0).bytes.toString(), 'abc');
  closeSync(theirs);
});

test('who says nothing, or byte after byte, is not waited for', () => {
  pair((ours, theirs) => {
    setReadTimeout(theirs, 1);
    assert.throws(() => receiveWithDescriptors(theirs, 1, 0), SocketError);
    writeSync(ours, 'a');
    assert.throws(() => receiveWithDescriptors(theirs, 2, 0, Date.now() - 1), /too slow/);
  });
});

test('the other end is who the kernel says', () => {
  pair((ours) => {
    const { pid, uid, gid, groups } = peerOf(ours);
    assert.deepEqual([pid, uid, gid], [process.pid, process.getuid?.(), process.getgid?.()]);
    assert.deepEqual(
      [...new Set([...groups, gid])].sort(),
      [...new Set([...(process.getgroups?.() ?? []), gid])].sort(),
    );
  });
});

test('a socket in the file system is connected to; where none is, the error says which', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cofferdam-socket-'));
  const path = join(directory, 'here');
  const server = createServer((client) => client.end('served'));
  await new Promise<void>((settle) => server.listen(path, settle));
  const fd = connectToSocket(path);
  assert.equal(peerOf(fd).pid, process.pid);
  closeSync(fd);
  await new Promise((settle) => server.close(settle));
  const code = (at: string): string => {
    try {
      closeSync(connectToSocket(at));
      return 'connected';
    } catch (error) {
      return error instanceof SocketError ? error.code : String(error);
    }
  };
  assert.equal(code(path), 'ENOENT');
  assert.equal(code(join(directory, 'x'.repeat(120))).slice(0, 10), 'RangeError');
  rmSync(directory, { recursive: true });
});
