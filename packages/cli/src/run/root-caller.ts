import { resolve } from 'node:path';
import { type FlowSink, openRotatingSink } from '@cofferdam/gateway';
import { type ContainedUser, forwardSignals, invokingUser, reclaimTerminal, writableBy } from '@cofferdam/sandbox';
import { groupNumber } from '../helper/group.ts';
import { defaultGroup } from '../helper/protocol.ts';
import type { Caller } from './contain.ts';
import { RunError } from './options.ts';

/** Of `--log FILE`, and of FILE.1 behind it: half a million records or more each, and 1 GiB together. */
const mostRotatedBytes = 512 * 1024 * 1024;

/** The file of `--log`, as whoever calls this may open it. */
export const openLog = (path: string): FlowSink => {
  try {
    return openRotatingSink(path, mostRotatedBytes);
  } catch (e) {
    throw new RunError(
      `--log: ${e instanceof Error ? e.message : String(e)}`,
      'name a file in a directory that exists and can be written',
    );
  }
};

/** `files`: of the policy. */
export const policyRisks = (
  user: ContainedUser,
  files: readonly string[],
  writable: readonly string[] | undefined,
): readonly string[] =>
  files.flatMap((file) => {
    const how = file === '<stdin>' ? undefined : writableBy(user, resolve(file), writable);
    return how === undefined ? [] : [`the command can change its own policy for the next run: ${how}`];
  });

/** We are root, by way of sudo most often: the command is the child of this process, at its terminal. */
export const rootCaller = (log: string | undefined, policyFiles: readonly string[]): Caller => {
  const invoking = invokingUser(process.env);
  if (!invoking.ok) throw new RunError(invoking.error.message, invoking.error.help);
  // Without the group of the helper, which would make another run for the command, with another policy.
  const helper = groupNumber(defaultGroup);
  const { groups } = invoking.value;
  const user: ContainedUser = { ...invoking.value, groups: groups.filter((group) => group !== helper) };
  return {
    user,
    cwd: process.cwd(),
    env: process.env,
    openLog: () => (log === undefined ? undefined : openLog(log)),
    attach(running) {
      const stop = forwardSignals(running);
      return () => {
        stop();
        reclaimTerminal();
      };
    },
    risks: (writable) => policyRisks(user, policyFiles, writable),
  };
};
