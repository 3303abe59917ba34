import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { firstProcess, gateOf, ignoresGroupSignals, type Launch, launch, type SandboxEnd } from './launch.ts';
import { openProcess, signalProcess } from './libc.ts';
import type { SandboxSpec } from './prepare.ts';
import { isAlive, statOf } from './process-table.ts';
import { err, ok, type Result } from './result.ts';
import { findLeak, networkOf } from './verify.ts';

export interface RunningSandbox {
  /** CMD, as numbered outside. */
  readonly pid: number;
  /** Our ends, where the spec says `pipe`. */
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** Settles when every process of the sandbox is gone. */
  wait(): Promise<SandboxEnd>;
  /** Signals CMD itself, never a process that took its number; false where it has ended. */
  signal(signal: NodeJS.Signals): boolean;
  /** Signals CMD with its process group, as a terminal does. On behalf of a user only, where CMD leads one of its own. */
  signalGroup(signal: NodeJS.Signals): boolean;
}

/** The finished sandbox, with the process that waits at its gate and a handle on it. */
interface Gated {
  readonly init: number;
  readonly gate: number;
  readonly handle: number;
}

async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await pause(1);
}

async function reachGate(started: Launch, spec: SandboxSpec, network: string): Promise<Result<Gated>> {
  const init = await firstProcess(started);
  const gate = init === undefined ? undefined : await gateOf(init);
  if (init === undefined || gate === undefined) {
    const result = await started.end;
    const how = result.kind === 'exited' ? `code ${result.code}` : result.signal;
    const said = started.complaint();
    return err(
      'sandbox-failed',
      `bubblewrap ended early (${how})${said === '' ? '' : `: ${said}`}`,
      said === '' ? 'its own message is on standard error' : 'name places that you can reach yourself',
    );
  }
  const handle = openProcess(gate);
  if (handle !== undefined && statOf(gate)?.parent === init) {
    const leak = findLeak(spec, network, init, gate);
    if (leak === undefined) return ok({ init, gate, handle });
    await abandon(started, init, handle);
    return err('sandbox-leaks', leak, 'the command was not started; try again, or share what is meant to be seen');
  }
  await abandon(started, init, handle);
  return err('sandbox-failed', 'the process at the gate ended', 'try again');
}

async function abandon(started: Launch, init: number, handle: number | undefined): Promise<void> {
  started.child.kill('SIGKILL');
  await started.end;
  await gone(init);
  if (handle !== undefined) closeSync(handle);
}

/**
 * Starts CMD contained: `nsenter` into the network, `bwrap` for the other namespaces and the filter, a gate at which the
 * sandbox is looked at, `setpriv` to the user, CMD. Call it from the main thread: the sandbox dies with the thread that
 * starts it. Needs root.
 *
 * `ready` is called when everything is in place and CMD not yet started: signals that `running` is given from then on are
 * kept for CMD. The promise settles when CMD runs.
 */
export async function startSandbox(
  spec: SandboxSpec,
  ready?: (running: RunningSandbox) => void,
): Promise<Result<RunningSandbox>> {
  if (process.getuid?.() !== 0) return err('not-root', 'the sandbox can be started by root only', 'start it with sudo');
  const network = networkOf(spec.networkNamespace);
  if (!network.ok) return network;
  const started = launch(spec);
  if (!started.ok) return started;
  const gated = await reachGate(started.value, spec, network.value);
  if (!gated.ok) return gated;

  const { streams, end, openGate } = started.value;
  const { init, gate, handle } = gated.value;
  let open = true;
  let launched = false;
  const early: NodeJS.Signals[] = [];
  const finished = end.then(async (result) => {
    await gone(init);
    open = false;
    closeSync(handle);
    return result;
  });
  const deliver = (signal: NodeJS.Signals): boolean => open && signalProcess(handle, constants.signals[signal]);
  const deliverToGroup = (signal: NodeJS.Signals): boolean => {
    // The handle tells whether the number is still CMD's, and so that of its group.
    if (!open || spec.onBehalf === undefined || !signalProcess(handle, 0)) return false;
    try {
      return process.kill(-gate, signal);
    } catch {
      return false; // CMD has ended since
    }
  };
  const running: RunningSandbox = {
    pid: gate,
    stdin: streams[0],
    stdout: streams[1],
    stderr: streams[2],
    wait: () => finished,
    signal(signal) {
      if (launched || signal === 'SIGKILL') return deliver(signal);
      early.push(signal);
      return open;
    },
    signalGroup: (signal) => (launched ? deliverToGroup(signal) : running.signal(signal)),
  };
  ready?.(running);
  openGate();
  while (open && ignoresGroupSignals(gate)) await pause(1);
  launched = true;
  for (const signal of early) deliver(signal);
  return ok(running);
}
