import { writeSync } from 'node:fs';
import koffi from 'koffi';

// System call numbers of the unified range (from 424 on), equal on all architectures.
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;
const SYS_close_range = 436;
const CLOSE_RANGE_CLOEXEC = 4;
const MFD_CLOEXEC = 1;
const SIGTTOU = 22;
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;

/** Loaded at the first use, so that this package can be imported where there is no Linux. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

const libc = once(() => {
  const library = koffi.load('libc.so.6');
  return {
    syscall: library.func('long syscall(long number, ...)'),
    memfdCreate: library.func('int memfd_create(const char *name, unsigned int flags)'),
    sigemptyset: library.func('int sigemptyset(void *set)'),
    sigaddset: library.func('int sigaddset(void *set, int signal)'),
    sigmask: library.func('int pthread_sigmask(int how, const void *set, void *old)'),
    tcsetpgrp: library.func('int tcsetpgrp(int fd, int group)'),
  };
});

/** Marks every descriptor above 2 so that no program we start inherits it: libuv marks those that it opened itself. */
export function closeDescriptorsOnExec(): boolean {
  return libc().syscall(SYS_close_range, 'uint', 3, 'uint', 0xffffffff, 'uint', CLOSE_RANGE_CLOEXEC) === 0;
}

/** An unnamed file in memory with this content, read from its beginning; undefined where the kernel gives none. */
export function memoryFile(name: string, content: Uint8Array): number | undefined {
  const fd: number = libc().memfdCreate(name, MFD_CLOEXEC);
  if (fd < 0) return undefined;
  let written = 0;
  // A given position leaves the file offset at 0, where the reader starts.
  while (written < content.length) written += writeSync(fd, content, written, content.length - written, written);
  return fd;
}

/** A handle that names this very process even after its number was given away; undefined where it is gone. */
export function openProcess(pid: number): number | undefined {
  const fd: number = libc().syscall(SYS_pidfd_open, 'int', pid, 'uint', 0);
  return fd < 0 ? undefined : fd;
}

export function signalProcess(handle: number, signal: number): boolean {
  return libc().syscall(SYS_pidfd_send_signal, 'int', handle, 'int', signal, 'void *', null, 'uint', 0) === 0;
}

/** Makes `group` the foreground of the terminal, also when we are in its background (which stops others). */
export function setForeground(terminal: number, group: number): boolean {
  const set = new Uint8Array(128);
  const old = new Uint8Array(128);
  libc().sigemptyset(set);
  libc().sigaddset(set, SIGTTOU);
  libc().sigmask(SIG_BLOCK, set, old);
  const done = libc().tcsetpgrp(terminal, group) === 0;
  libc().sigmask(SIG_SETMASK, old, null);
  return done;
}
