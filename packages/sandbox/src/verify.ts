import { statfsSync, statSync } from 'node:fs';
import { asFileSystemUser } from './file-system-user.ts';
import { type Host, thisHost } from './host.ts';
import { aliases } from './mount-table.ts';
import { isWithin, lookAt } from './path-walk.ts';
import type { SandboxSpec } from './prepare.ts';
import { namespaceOf, statusField } from './process-table.ts';
import { err, ok, type Result } from './result.ts';

/** f_type of the file system that namespace files live on (linux/magic.h). */
const nsfsMagic = 0x6e736673;

/** The namespace as /proc shows it (`net:[4026531840]`); an error where the file is no network namespace, or is our own or the machine's. */
export function networkOf(path: string): Result<string> {
  const help = 'name another network namespace, such as /run/netns/NAME or /proc/PID/ns/net';
  let name: string;
  try {
    if (statfsSync(path).type !== nsfsMagic) return err('not-a-namespace', `\`${path}\` is not a namespace file`, help);
    name = `net:[${statSync(path).ino}]`;
  } catch (error) {
    return err(
      'namespace-missing',
      `\`${path}\` cannot be opened: ${error instanceof Error ? error.message : String(error)}`,
      help,
    );
  }
  // Ours, and that of the machine, which may be another where we have moved into one ourselves.
  if (name === namespaceOf('self', 'net') || name === namespaceOf(1, 'net'))
    return err('own-namespace', `\`${path}\` is the network of this machine, or our own`, help);
  return ok(name);
}

/**
 * Looks at the finished sandbox before CMD may start: `init` is its process 1, `gate` what will become CMD. Says what is
 * wrong, or undefined. It catches what planning cannot: a socket or link that was moved between plan and mount.
 */
export function findLeak(spec: SandboxSpec, network: string, init: number, gate: number): string | undefined {
  if (namespaceOf(gate, 'net') !== network)
    return 'the command would be in another network namespace than was asked for';
  for (const kind of ['mnt', 'pid', 'ipc'] as const) {
    const inner = namespaceOf(gate, kind);
    if (inner === undefined || inner === namespaceOf('self', kind))
      return `the command would share the ${kind} namespace of this machine`;
  }
  for (const pid of [init, gate]) {
    if (statusField(pid, 'Seccomp') !== '2') return 'the system call filter is not in place';
    if (statusField(pid, 'NoNewPrivs') !== '1') return 'no_new_privs is not set';
  }
  const { user, onBehalf } = spec;
  if (onBehalf !== undefined) {
    const ids = (id: number): string => [id, id, id, id].join('\t');
    if (statusField(gate, 'Uid') !== ids(user.uid) || statusField(gate, 'Gid') !== ids(user.gid))
      return 'the command would be another user';
    if (!/^0+$/.test(statusField(gate, 'CapPrm') ?? '')) return 'the command would have capabilities';
    const groups = (statusField(gate, 'Groups') ?? '').split(' ').filter(Boolean).map(Number);
    if (groups.some((group) => !user.groups.includes(group))) return 'the command would have groups of ours';
  }
  const host = thisHost();
  // What is closed to the user has no mask, since none can be made there with their permissions.
  const look = (): string | undefined => openSocket(spec, host, gate);
  return onBehalf === undefined ? look() : asFileSystemUser(user, look);
}

/** A socket of this machine that can be reached inside, in words. */
function openSocket(spec: SandboxSpec, host: Host, gate: number): string | undefined {
  if (lookAt(`/proc/${gate}/root/`) === undefined) return 'the finished sandbox cannot be looked at';
  for (const socket of host.sockets.flatMap((path) => aliases(host.mounts, path))) {
    if (spec.shares.some((share) => isWithin(share, socket))) continue;
    const outside = lookAt(socket);
    const inside = lookAt(`/proc/${gate}/root${socket}`);
    if (outside === undefined || inside === undefined || !inside.isSocket()) continue;
    if (outside.dev === inside.dev && outside.ino === inside.ino) return `the socket \`${socket}\` would be reachable`;
  }
  return undefined;
}
