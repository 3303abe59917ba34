import koffi from 'koffi';

/** The C library, for what Node has no door to: namespaces, socket options before bind, and clocks. */
const libc = koffi.load('libc.so.6');

const setnsC = libc.func('int setns(int fd, int nstype)');
const unshareC = libc.func('int unshare(int flags)');
const openC = libc.func('int open(const char *path, int flags)');
const closeC = libc.func('int close(int fd)');
const socketC = libc.func('int socket(int domain, int type, int protocol)');
const setsockoptC = libc.func('int setsockopt(int fd, int level, int name, const void *value, unsigned int length)');
const bindC = libc.func('int bind(int fd, const void *address, unsigned int length)');
const listenC = libc.func('int listen(int fd, int backlog)');
const getpeernameC = libc.func('int getpeername(int fd, void *address, _Inout_ unsigned int *length)');
const connectC = libc.func('int connect(int fd, const void *address, unsigned int length)');
const sendtoC = libc.func(
  'long sendto(int fd, const void *bytes, unsigned long length, int flags, const void *address, unsigned int size)',
);
const indexC = libc.func('unsigned int if_nametoindex(const char *name)');
const mountC = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)',
);
const umountC = libc.func('int umount2(const char *target, int flags)');
const flockC = libc.func('int flock(int fd, int operation)');
const exitC = libc.func('void _exit(int status)');
const mmapC = libc.func('void *mmap(void *address, size_t length, int access, int flags, int fd, int64_t offset)');
const munmapC = libc.func('int munmap(void *address, size_t length)');
const pageSizeC = libc.func('int getpagesize()');
const clockC = libc.func('int clock_gettime(int clock, _Out_ int64_t *time)');

/** A system call that failed, by its name and the error number of <errno.h>. */
export class SystemCallError extends Error {
  readonly call: string;
  readonly errno: number;
  constructor(call: string, errno: number, detail: string) {
    super(`${call}${detail === '' ? '' : ` ${detail}`}: ${errorName(errno)}`);
    this.call = call;
    this.errno = errno;
  }
}

const errorNames: ReadonlyMap<number, string> = new Map(Object.entries(koffi.os.errno).map(([name, n]) => [n, name]));
const errorName = (errno: number): string => errorNames.get(errno) ?? `error ${errno}`;

const checked = (call: string, result: number, detail = ''): number => {
  if (result < 0) throw new SystemCallError(call, koffi.errno(), detail);
  return result;
};

/** Numbers of <asm-generic/errno.h>, the same on every architecture that is supported. */
export const ENOENT = 2;
export const E2BIG = 7;
const EWOULDBLOCK = 11;
export const EEXIST = 17;
export const ENOSPC = 28;
const EINPROGRESS = 115;

export const CLONE_NEWNET = 0x40000000;
const O_RDONLY = 0;
const O_CLOEXEC = 0o2000000;

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
/** Of <netinet/in.h>: what is written to such a socket has its IP header. */
export const IPPROTO_RAW = 255;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;

export const setns = (fd: number, kind: number): void => void checked('setns', setnsC(fd, kind));
export const unshare = (flags: number): void => void checked('unshare', unshareC(flags));
export const openPath = (path: string): number => checked('open', openC(path, O_RDONLY | O_CLOEXEC), path);
export const closeDescriptor = (fd: number): void => void checked('close', closeC(fd));
/** Non-blocking, closed on exec. */
export const openSocket = (domain: number, type: number, protocol = 0): number =>
  checked('socket', socketC(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
export const setSocketNumber = (fd: number, level: number, name: number, value: number): void => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  checked('setsockopt', setsockoptC(fd, level, name, bytes, bytes.length), `${level}/${name}`);
};
export const setSocketFlag = (fd: number, level: number, name: number): void => setSocketNumber(fd, level, name, 1);
export const setSocketText = (fd: number, level: number, name: number, text: string): void =>
  void checked(
    'setsockopt',
    setsockoptC(fd, level, name, Buffer.from(`${text}\0`), text.length + 1),
    `${level}/${name}`,
  );
export const bindSocket = (fd: number, address: Buffer, text: string): void =>
  void checked('bind', bindC(fd, address, address.length), text);
export const listenSocket = (fd: number, backlog: number): void => void checked('listen', listenC(fd, backlog));

/** Begins to connect; a non-blocking socket goes on by itself. */
export const connectSocket = (fd: number, address: Buffer, text: string): void => {
  if (connectC(fd, address, address.length) < 0 && koffi.errno() !== EINPROGRESS)
    throw new SystemCallError('connect', koffi.errno(), text);
};

/** Sends a datagram. False: it could not leave. */
export const sendTo = (fd: number, bytes: Buffer, address: Buffer): boolean =>
  sendtoC(fd, bytes, bytes.length, 0, address, address.length) === bytes.length;

/** Whether a stream socket has its other end. */
export const isConnected = (fd: number): boolean => getpeernameC(fd, Buffer.alloc(28), [28]) === 0;

const MS_BIND = 4096;
const MNT_DETACH = 2;
export const bindMount = (source: string, target: string): void =>
  void checked('mount', mountC(source, target, '', MS_BIND, null), target);
/** False where nothing is mounted there. */
export const unmount = (target: string): boolean => umountC(target, MNT_DETACH) === 0;

const LOCK_EX = 2;
const LOCK_NB = 4;
/** Waits for a lock of the whole file, which ends with its last descriptor: also where the process is killed. */
export const lockFile = (fd: number): void => void checked('flock', flockC(fd, LOCK_EX));
/** The same without waiting. False: another has it. */
export const tryLockFile = (fd: number): boolean => {
  if (flockC(fd, LOCK_EX | LOCK_NB) === 0) return true;
  if (koffi.errno() === EWOULDBLOCK) return false;
  throw new SystemCallError('flock', koffi.errno(), '');
};

/** Ends this process at once, without anything that would be done at its end. */
export const endProcess = (status: number): void => exitC(status);

/** Bytes. */
export const pageSize = (): number => pageSizeC();

/** Memory that is shared with a file or a map of the kernel. What views it must not be looked at once it is unmapped. */
export interface MappedMemory {
  readonly address: unknown;
  readonly unmap: () => void;
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = 2n ** 64n - 1n;
export const mapMemory = (fd: number, length: number, offset: number, access: 'read' | 'write'): MappedMemory => {
  const address: unknown = mmapC(
    null,
    length,
    access === 'read' ? PROT_READ : PROT_READ | PROT_WRITE,
    MAP_SHARED,
    fd,
    offset,
  );
  if (koffi.address(address) === MAP_FAILED) throw new SystemCallError('mmap', koffi.errno(), '');
  return { address, unmap: () => void checked('munmap', munmapC(address, length)) };
};

/** Index of an interface in the namespace of the calling thread; 0 where there is none. */
export const interfaceIndex = (name: string): number => indexC(name);

const CLOCK_BOOTTIME = 7;
/** Nanoseconds since boot, sleep included: the clock that the kernel program reads. */
export const bootTime = (): bigint => {
  const time = new BigInt64Array(2);
  checked('clock_gettime', clockC(CLOCK_BOOTTIME, time));
  return time[0]! * 1_000_000_000n + time[1]!;
};
