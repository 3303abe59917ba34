import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { once } from './libc.ts';

// <sys/socket.h>, the same on x86-64 and arm64.
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_RCVTIMEO = 20;
const SO_PEERGROUPS = 59;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const FIONBIO = 0x5421;
const EINTR = 4;

/** cmsghdr: length (8), level (4), type (4); what follows it begins at a multiple of 8. */
const headerLength = 16;

const libc = once(() => {
  const library = koffi.load('libc.so.6');
  koffi.struct('cofferdam_iovec', { base: 'void *', length: 'size_t' });
  koffi.struct('cofferdam_msghdr', {
    name: 'void *',
    nameLength: 'uint32_t',
    vector: 'cofferdam_iovec *',
    vectorLength: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  });
  return {
    socket: library.func('int socket(int domain, int type, int protocol)'),
    socketpair: library.func('int socketpair(int domain, int type, int protocol, _Out_ int *pair)'),
    connect: library.func('int connect(int fd, const void *address, uint32_t length)'),
    sendmsg: library.func('long sendmsg(int fd, const cofferdam_msghdr *message, int flags)'),
    recvmsg: library.func('long recvmsg(int fd, _Inout_ cofferdam_msghdr *message, int flags)'),
    getsockopt: library.func('int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)'),
    ioctl: library.func('int ioctl(int fd, unsigned long request, ...)'),
    setsockopt: library.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
  };
});

const errorNames: ReadonlyMap<number, string> = new Map(Object.entries(koffi.os.errno).map(([name, n]) => [n, name]));

/** A system call on a socket that failed. `code` is the name of <errno.h>, as in errors of Node. */
export class SocketError extends Error {
  readonly code: string;
  constructor(call: string, errno: number) {
    const code = errorNames.get(errno) ?? `error ${errno}`;
    super(`${call}: ${code}`);
    this.code = code;
  }
}

const again = (call: string, attempt: () => number): number => {
  for (;;) {
    const result = attempt();
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno !== EINTR) throw new SocketError(call, errno);
  }
};

/** Who is at the other end of a Unix socket, as the kernel noted it when the connection was made (socket(7)). */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

/** A connection to the socket at `path`: a blocking descriptor that no program we start inherits. */
export function connectToSocket(path: string): number {
  const name = Buffer.from(path);
  // sun_path ends with a NUL.
  if (name.length > 107) throw new RangeError(`\`${path}\` is too long for a socket`);
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  const fd = again('socket', () => libc().socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  try {
    again('connect', () => libc().connect(fd, address, address.length));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Two connected sockets; each is the peer of the other. */
export function socketPair(): readonly [number, number] {
  const pair = [0, 0];
  again('socketpair', () => libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  return [pair[0]!, pair[1]!];
}

function option(fd: number, name: number, size: number): Buffer {
  const value = Buffer.alloc(size);
  const length = [size];
  again('getsockopt', () => libc().getsockopt(fd, SOL_SOCKET, name, value, length));
  return value.subarray(0, length[0]);
}

export function peerOf(fd: number): Peer {
  const credentials = option(fd, SO_PEERCRED, 12);
  // The kernel's limit for groups, NGROUPS_MAX.
  const groups = option(fd, SO_PEERGROUPS, 4 * 65_536);
  return {
    pid: credentials.readInt32LE(0),
    uid: credentials.readUInt32LE(4),
    gid: credentials.readUInt32LE(8),
    groups: Array.from({ length: groups.length / 4 }, (_, i) => groups.readUInt32LE(4 * i)),
  };
}

/** Reads of the descriptor wait, and fail with EAGAIN where nothing comes for so long; 0 waits for ever. */
export function setReadTimeout(fd: number, seconds: number): void {
  again('ioctl', () => libc().ioctl(fd, FIONBIO, 'int *', [0]));
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(BigInt(seconds));
  again('setsockopt', () => libc().setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, time, time.length));
}

/** Sends all of `bytes`, and copies of `descriptors` with the first of them. */
export function sendWithDescriptors(fd: number, bytes: Buffer, descriptors: readonly number[]): void {
  const control = Buffer.alloc(headerLength + 8 * Math.ceil(descriptors.length / 2));
  control.writeBigUInt64LE(BigInt(headerLength + 4 * descriptors.length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [i, descriptor] of descriptors.entries()) control.writeInt32LE(descriptor, headerLength + 4 * i);
  for (let sent = 0; sent < bytes.length; ) {
    const rest = bytes.subarray(sent);
    const carries = sent === 0 && descriptors.length > 0;
    const message = {
      name: null,
      nameLength: 0,
      vector: [{ base: rest, length: rest.length }],
      vectorLength: 1,
      control: carries ? control : null,
      controlLength: carries ? control.length : 0,
      flags: 0,
    };
    sent += again('sendmsg', () => libc().sendmsg(fd, message, MSG_NOSIGNAL));
  }
}

export interface Received {
  /** Fewer than were asked for where the other end has closed. */
  readonly bytes: Buffer;
  /** Ours to close; no program we start inherits them. */
  readonly descriptors: readonly number[];
}

/** The descriptors in what recvmsg(2) gave beside the bytes. */
function descriptorsIn(control: Buffer): readonly number[] {
  const found: number[] = [];
  for (let at = 0; at + headerLength <= control.length; ) {
    const length = Number(control.readBigUInt64LE(at));
    if (length < headerLength) break;
    const isRights = control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS;
    const end = Math.min(at + length, control.length);
    for (let i = at + headerLength; isRights && i + 4 <= end; i += 4) found.push(control.readInt32LE(i));
    at += 8 * Math.ceil(length / 8);
  }
  return found;
}

/**
 * Receives `size` bytes, and the descriptors that come with them. More than `most` of these is an error, and none of them stays open. The
 * kernel closes those that come with bytes that are read in any other way. `deadline`: milliseconds since the epoch; who sends byte by byte
 * is not waited for beyond it.
 */
export function receiveWithDescriptors(
  fd: number,
  size: number,
  most: number,
  deadline = Number.POSITIVE_INFINITY,
): Received {
  const bytes = Buffer.alloc(size);
  const descriptors: number[] = [];
  let got = 0;
  try {
    while (got < size) {
      if (Date.now() > deadline) throw new RangeError('the other end is too slow');
      const rest = bytes.subarray(got);
      // Room for one more than there may be: more than that the kernel cuts off, closes, and says so.
      const control = Buffer.alloc(headerLength + 8 * Math.ceil((most + 1) / 2));
      const message = {
        name: null,
        nameLength: 0,
        vector: [{ base: rest, length: rest.length }],
        vectorLength: 1,
        control,
        controlLength: control.length,
        flags: 0,
      };
      const read = again('recvmsg', () => libc().recvmsg(fd, message, MSG_CMSG_CLOEXEC));
      descriptors.push(...descriptorsIn(control.subarray(0, message.controlLength)));
      if ((message.flags & MSG_CTRUNC) !== 0 || descriptors.length > most)
        throw new RangeError(`more than ${most} descriptors were sent`);
      if (read === 0) break;
      got += read;
    }
    return { bytes: bytes.subarray(0, got), descriptors };
  } catch (error) {
    for (const descriptor of descriptors) closeSync(descriptor);
    throw error;
  }
}
