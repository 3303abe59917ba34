import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Duplex, Readable, Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import {
  bubblewrapOptions,
  descriptors,
  dropWords,
  firstStream,
  gateScriptOf,
  groupSignals,
  userWords,
} from './bubblewrap.ts';
import { closeDescriptorsOnExec, memoryFile } from './libc.ts';
import { seccompProgram } from './libseccomp.ts';
import type { SandboxSpec } from './prepare.ts';
import { childrenOf, isAlive, statusField } from './process-table.ts';
import { err, ok, type Result } from './result.ts';
import { findTools, toolDirectories } from './tools.ts';

/** How CMD ended. A signal that killed CMD itself arrives as code 128 + its number, as shells have it. */
export type SandboxEnd =
  | { readonly kind: 'exited'; readonly code: number }
  /** Somebody killed the sandbox around CMD, and CMD with it. */
  | { readonly kind: 'killed'; readonly signal: NodeJS.Signals };

/** A sandbox on its way: bubblewrap runs, CMD does not yet. */
export interface Launch {
  readonly child: ChildProcess;
  /** Our ends of CMD's standard streams, where there are such. */
  readonly streams: readonly [Writable | null, Readable | null, Readable | null];
  /** What the steps before CMD said on their standard error, where that is not CMD's. */
  readonly complaint: () => string;
  /** Of bubblewrap, which ends with CMD. */
  readonly end: Promise<SandboxEnd>;
  /** Lets the process at the gate become CMD. Without it, the end of our end of the pipe ends that process. */
  openGate(): void;
}

function endOf(child: ChildProcess): Promise<SandboxEnd> {
  return new Promise((settle) => {
    child.once('error', () => settle({ kind: 'exited', code: 127 }));
    child.once('exit', (code, signal) => {
      settle(signal === null ? { kind: 'exited', code: code ?? 1 } : { kind: 'killed', signal });
    });
  });
}

/** Options, filter and texts are `files`, in this order. */
function streamsOf(spec: SandboxSpec, files: readonly number[]): StdioOptions {
  if (spec.onBehalf === undefined) return [...spec.stdio, 'pipe', 'pipe', ...files];
  const [options, filter, ...texts] = files;
  return ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', options, filter, ...spec.stdio, ...texts];
}

/** The mask is the process's, ours included, and a child keeps what it began with. */
function withMask<T>(mask: number | undefined, begin: () => T): T {
  if (mask === undefined) return begin();
  const before = process.umask(mask);
  try {
    return begin();
  } finally {
    process.umask(before);
  }
}

/** Of what a stream says, the beginning. All of it is read, so that nobody waits. */
function textOf(stream: Readable): () => string {
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    if (text.length < 1000) text += chunk.toString('utf8');
  });
  stream.on('error', () => stream.destroy());
  return () => text.trim();
}

export function launch(spec: SandboxSpec): Result<Launch> {
  const tools = findTools();
  if (!tools.ok) return tools;
  const options = bubblewrapOptions(spec);
  if (!options.ok) return options;
  const filter = seccompProgram();
  if (!filter.ok) return filter;
  const contents = [
    Buffer.from(`${options.value.words.join('\0')}\0`),
    filter.value,
    ...options.value.data.map((text) => Buffer.from(text)),
  ];
  const files = contents.flatMap((content) => memoryFile('cofferdam', content) ?? []);
  if (files.length < contents.length || !closeDescriptorsOnExec()) {
    for (const file of files) closeSync(file);
    return err('descriptors', 'the kernel refused to prepare descriptors', 'Linux 5.11 or later is needed');
  }
  const { env, nsenter, bwrap, sh } = tools.value;
  const endOfWords = randomBytes(16).toString('hex');
  const outer = [`--ignore-signal=${groupSignals}`, nsenter, `--net=${spec.networkNamespace}`, '--'];
  const middle = [...userWords(spec, tools.value), bwrap, '--args', String(descriptors.options), '--'];
  const last = [sh, '-c', gateScriptOf(spec), 'cofferdam', endOfWords];
  const child = withMask(spec.onBehalf?.umask, () =>
    spawn(env, [...outer, ...middle, ...last, ...spec.command], {
      // Nothing of the user's environment reaches a step that still has privileges.
      env: { PATH: toolDirectories.join(':') },
      cwd: '/',
      stdio: streamsOf(spec, files),
    }),
  );
  for (const file of files) closeSync(file);
  const gate = child.stdio[descriptors.gate] as Duplex;
  // The process behind it may be gone, which `end` tells.
  gate.on('error', () => gate.destroy());
  const at = firstStream(spec);
  return ok({
    child,
    streams: [child.stdio[at], child.stdio[at + 1], child.stdio[at + 2]] as Launch['streams'],
    complaint: spec.onBehalf === undefined ? () => '' : textOf(child.stderr as Readable),
    end: endOf(child),
    openGate: () => gate.end(`${dropWords(spec, tools.value)}\n${endOfWords}\n`),
  });
}

/** Process 1 of the sandbox, from bubblewrap's first status document; undefined where it ended before. */
export async function firstProcess({ child }: Launch): Promise<number | undefined> {
  const status = child.stdio[descriptors.status] as Readable;
  let text = '';
  return new Promise((settle) => {
    status.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
      const pid = /"child-pid": *([0-9]+)[^}]*\}/.exec(text)?.[1];
      if (pid !== undefined) settle(Number(pid));
    });
    status.once('close', () => settle(undefined));
    status.once('error', () => settle(undefined));
  });
}

/**
 * The process at the gate, once process 1 is set to die with its parent: it installs its filter right after that. Until
 * both are so, a kill of ours could leave CMD running.
 */
export async function gateOf(init: number): Promise<number | undefined> {
  while (isAlive(init)) {
    const [gate] = childrenOf(init);
    if (gate !== undefined && statusField(init, 'Seccomp') === '2' && statusField(gate, 'Seccomp') === '2') return gate;
    await pause(1);
  }
  return undefined;
}

/** True from the gate until the last step before CMD: a signal sent in between would be lost. */
export function ignoresGroupSignals(pid: number): boolean {
  const ignored = BigInt(`0x${statusField(pid, 'SigIgn') ?? '0'}`);
  return groupSignals.split(',').every((name) => {
    const number = constants.signals[`SIG${name}` as NodeJS.Signals];
    return (ignored & (1n << BigInt(number - 1))) !== 0n;
  });
}
