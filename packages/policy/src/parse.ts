import { buildDocument } from './build-document.ts';
import { compareRulesets } from './build-ruleset.ts';
import { type Diagnostic, Problems } from './diagnostic.ts';
import { emptyDraft } from './draft.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { lint } from './lint.ts';
import type { EvaluationContext, PolicySet } from './model.ts';
import { makeSource } from './source.ts';
import { validateSet } from './validate-set.ts';
import { readDocuments } from './yaml-documents.ts';

/** One file, already read. `file` is what diagnostics call it. */
export interface PolicySource {
  readonly file: string;
  readonly text: string;
}

export interface ParseOptions {
  /** Milliseconds since the epoch; what `expires` is compared with. Absent: rules are not said to expire. */
  readonly now?: number;
  /** How agents are to learn names. Absent: rules are not said to be idle because of it. */
  readonly dnsMode?: EvaluationContext['dnsMode'];
  readonly limits?: Partial<Limits>;
}

export interface ParseResult {
  /** Present only where no diagnostic is an error: a set is accepted whole or refused whole. */
  readonly policy?: PolicySet;
  /** All errors, or all warnings of a set without errors; by file and position. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads and validates a whole set of policy files. Pure; every problem is reported at once. */
export const parsePolicy = (sources: readonly PolicySource[], options: ParseOptions = {}): ParseResult => {
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const problems = new Problems(limits.diagnostics);
  const draft = emptyDraft();
  let complete = true;
  let length = 0;
  for (const { file, text } of sources) {
    length += text.length;
    if (length > limits.setLength) {
      const where = { source: makeSource(file, ''), start: 0, end: 0 };
      const message = `with this file the set has more than ${limits.setLength} characters`;
      problems.report('file-too-large', where, message, 'pass fewer files');
      complete = false;
      break;
    }
    const read = readDocuments(makeSource(file, text), limits, problems);
    if (!read.complete) complete = false;
    for (const document of read.documents) {
      if (!buildDocument(document, draft, problems)) complete = false;
    }
  }
  validateSet(draft, complete, problems);
  if (problems.hasErrors) return { diagnostics: problems.sorted() };

  const policy: PolicySet = {
    smartGroups: draft.smartGroups,
    webGroups: draft.webGroups,
    rulesets: draft.rulesets.sort(compareRulesets),
    inventory: draft.inventory,
  };
  const { now, dnsMode } = options;
  const about = { limits, ...(now !== undefined && { now }), ...(dnsMode !== undefined && { dnsMode }) };
  lint(policy, draft.nodes, about, problems);
  return { policy, diagnostics: problems.sorted() };
};
