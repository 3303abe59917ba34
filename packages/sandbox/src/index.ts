/**
 * sandbox: starts one command contained inside a network namespace that exists already, with nothing at hand that could
 * act for it outside: own mount, PID and IPC namespaces, no capabilities, no_new_privs, a system call filter, hidden sockets.
 * It makes no network and judges no packet, and it is no file sandbox: what is not hidden is seen as permissions allow.
 *
 *     prepareSandbox (a plan, as data) -> startSandbox: env -> nsenter -> bwrap -> gate -> setpriv -> env -> CMD
 */
export { type ScrubbedEnvironment, scrubEnvironment } from './environment.ts';
export { asFileSystemUser } from './file-system-user.ts';
export { type HiddenDirectory, hiddenDirectories, readOnlyPlaces } from './hidden-places.ts';
export { type Host, hostSeenBy, thisHost } from './host.ts';
export type { SandboxEnd } from './launch.ts';
export { seccompProgram } from './libseccomp.ts';
export { isHidden, type Mount } from './mount-plan.ts';
export type { MountPoint } from './mount-table.ts';
export type { FollowedLink, Place, PlaceKind } from './path-walk.ts';
export {
  connectToSocket,
  type Peer,
  peerOf,
  type Received,
  receiveWithDescriptors,
  SocketError,
  sendWithDescriptors,
  setReadTimeout,
  socketPair,
} from './peer-socket.ts';
export {
  type OnBehalf,
  prepareSandbox,
  type SandboxRequest,
  type SandboxSpec,
  type StandardStream,
} from './prepare.ts';
export { copyWindowSize, makeRaw, openPseudoTerminal, type PseudoTerminal } from './pseudo-terminal.ts';
export { attainableLimits, parseLimits, type ResourceLimit } from './resource-limits.ts';
export type { Result, SandboxError } from './result.ts';
export { allowedFamilies, type SeccompRule, seccompRules } from './seccomp-rules.ts';
export { type RunningSandbox, startSandbox } from './start.ts';
export { forwardSignals, isForeground, reclaimTerminal } from './terminal.ts';
export { type ContainedUser, invokingUser, userById } from './user.ts';
export { writableBy } from './writable.ts';
