import { type PolicySet, type PolicySource, parsePolicy } from '@cofferdam/policy';
import type { Context } from './command.ts';
import { errorsIn, type Findings, findingsText, warningsIn } from './findings.ts';
import { readPolicyFiles } from './policy-files.ts';
import { counted } from './text.ts';

export interface LoadedPolicy {
  readonly policy: PolicySet;
  /** As named or found, relative ones to the working directory; `<stdin>` where it was standard input. */
  readonly files: readonly string[];
  readonly warnings: number;
  /** What was read. */
  readonly sources: readonly PolicySource[];
}

/**
 * Reads a set for a command that needs a valid one. What is wrong is said on stderr and nothing is returned; warnings are `validate`'s to
 * show. A set is taken whole or not at all.
 */
export const loadPolicy = (
  context: Pick<Context, 'err' | 'fail'>,
  paths: readonly string[],
  now: number,
): LoadedPolicy | undefined => {
  const { sources, problems } = readPolicyFiles(paths);
  const { policy, diagnostics } = parsePolicy(sources, { now });
  const findings: Findings = { problems, diagnostics };
  if (policy !== undefined && problems.length === 0) {
    return { policy, files: sources.map(({ file }) => file), sources, warnings: warningsIn(findings) };
  }
  context.err.write(`${findingsText(findings, context.err.style)}\n`);
  const errors = errorsIn(findings);
  context.fail(
    `the policy has ${counted(errors, 'error')}`,
    'correct the files; `cofferdam validate` shows warnings too',
  );
  return undefined;
};
