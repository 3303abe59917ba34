import { closeSync, existsSync, fstatSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { bindMount, CLONE_NEWNET, closeDescriptor, openPath, setns, tryLockFile, unmount, unshare } from './libc.ts';

/**
 * A network namespace that lives as long as this process holds its descriptor (or something runs in it): a process
 * that is killed leaves none behind.
 *
 * Only the calling thread changes its namespace, and only for the length of one synchronous call; the threads of Node's
 * pool never do. What is made inside (a socket, a netlink connection, a child process) stays inside.
 */
export interface NetworkNamespace {
  /** For `nsenter --net=` and the like, valid in this process and its children while it is open. */
  readonly path: string;
  readonly fd: number;
  /** Runs `work` inside. It must be synchronous: after it, the thread is back where it was. */
  run<T>(work: () => T): T;
  close(): void;
}

const currentPath = '/proc/thread-self/ns/net';

const held = (fd: number): NetworkNamespace => ({
  fd,
  path: `/proc/${process.pid}/fd/${fd}`,
  run(work) {
    const home = openPath(currentPath);
    try {
      setns(fd, CLONE_NEWNET);
      return work();
    } finally {
      // If this fails the thread is in the wrong place for good: better to die than to dial from there.
      setns(home, CLONE_NEWNET);
      closeDescriptor(home);
    }
  },
  close() {
    closeDescriptor(fd);
  },
});

/** Makes a new, empty namespace: loopback is down, nothing else is in it. */
export const createNetworkNamespace = (): NetworkNamespace => {
  const home = openPath(currentPath);
  try {
    unshare(CLONE_NEWNET);
    try {
      return held(openPath(currentPath));
    } finally {
      setns(home, CLONE_NEWNET);
    }
  } finally {
    closeDescriptor(home);
  }
};

/** Lets a namespace outlive this process: a bind mount on `file` holds it. Where it holds it already, nothing. */
export const keepNamespace = (namespace: NetworkNamespace, file: string): void => {
  const there = statSync(file, { throwIfNoEntry: false });
  const own = fstatSync(namespace.fd);
  if (there?.ino === own.ino && there.dev === own.dev) return;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  closeSync(openSync(file, 'a', 0o600));
  bindMount(namespace.path, file);
};

/** A new namespace that is held by `file`. Closing it lets go of the descriptor only. */
export const holdNamespace = (file: string): NetworkNamespace => {
  const made = createNetworkNamespace();
  try {
    keepNamespace(made, file);
    return made;
  } catch (e) {
    made.close();
    rmSync(file, { force: true });
    throw e;
  }
};

/** Whether this is the only process that has claimed the namespace, whatever it is held by. The claim ends with the descriptor. */
export const claimNamespace = ({ fd }: NetworkNamespace): boolean => tryLockFile(fd);

/** The namespace that an earlier process holds on `file`. Undefined: there is none. */
export const heldNamespace = (file: string): NetworkNamespace | undefined => {
  if (!existsSync(file)) return undefined;
  const found = held(openPath(file));
  try {
    found.run(() => undefined);
    return found;
  } catch {
    // A file without its mount: the machine was started anew.
    found.close();
    return undefined;
  }
};

/** Ends the hold of `file`: the namespace goes with the last descriptor. */
export const releaseNamespace = (file: string): void => {
  unmount(file);
  rmSync(file, { force: true });
};

/** The namespace this process is in now. */
export const currentNetworkNamespace = (): NetworkNamespace => held(openPath(currentPath));
