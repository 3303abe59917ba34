import { type PolicySet, parsePolicy } from '@cofferdam/policy';
import type { Context } from '../command.ts';
import { dnsModeOf } from '../dns-mode.ts';
import { errorsIn, type Findings, findingsData, findingsSarif, findingsText, warningsIn } from '../findings.ts';
import { readPolicyFiles } from '../policy-files.ts';
import { counted } from '../text.ts';
import type { validateCommand } from './command.ts';

export const validate = (context: Context<typeof validateCommand.options>): number => {
  const { values, operands, out, fail } = context;
  if (values.json && values.format !== undefined && values.format !== 'json') {
    return fail(`\`--json\` and \`--format ${values.format}\` exclude each other`, 'give one of them');
  }
  const format = values.json ? 'json' : (values.format ?? 'text');
  const { sources, problems } = readPolicyFiles(operands);
  const { policy, diagnostics } = parsePolicy(sources, { now: Date.now(), dnsMode: dnsModeOf(values.dns) });
  const findings: Findings = { problems, diagnostics };
  const errors = errorsIn(findings);
  const warnings = warningsIn(findings);

  if (format === 'sarif') out.write(findingsSarif(findings));
  else if (format === 'json') {
    const counts = policy === undefined ? undefined : countsOf(policy);
    const result = { valid: errors === 0, files: sources.length, errors, warnings, ...counts };
    out.line(JSON.stringify({ ...result, diagnostics: findingsData(findings) }, null, 2));
  } else {
    const text = findingsText(findings, out.style);
    if (text !== '') out.write(`${text}\n`);
    out.line(summary(sources.length, policy, errors, warnings));
  }
  return errors > 0 || (values.strict && warnings > 0) ? 1 : 0;
};

const countsOf = (policy: PolicySet) => ({
  smartGroups: policy.smartGroups.size,
  webGroups: policy.webGroups.size,
  rulesets: policy.rulesets.length,
  rules: policy.rulesets.reduce((sum, { rules }) => sum + rules.length, 0),
  workloads: policy.inventory.length,
});

/** `5 files: 3 SmartGroups, 2 WebGroups, 4 rules: no problems`. What the set has none of is left out, and all of it where it is invalid. */
const summary = (files: number, policy: PolicySet | undefined, errors: number, warnings: number): string => {
  const counts = policy === undefined ? undefined : countsOf(policy);
  const kinds = (
    [
      [counts?.smartGroups, 'SmartGroup'],
      [counts?.webGroups, 'WebGroup'],
      [counts?.rules, 'rule'],
      [counts?.workloads, 'workload'],
    ] as const
  ).flatMap(([number, word]) => (number ? [counted(number, word)] : []));
  const found = [errors > 0 ? counted(errors, 'error') : '', warnings > 0 ? counted(warnings, 'warning') : ''];
  const said = found.filter((part) => part !== '').join(', ');
  return [
    ...(files > 0 ? [counted(files, 'file')] : []),
    ...(kinds.length > 0 ? [kinds.join(', ')] : []),
    said || 'no problems',
  ].join(': ');
};
