/** Writes the copies of the reasons table: C for the kernel program, Markdown for people. `--check` only compares. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { reasonTable } from '@cofferdam/verdict';

const root = fileURLToPath(new URL('..', import.meta.url));

const constant = (code: string): string => `REASON_${code.toUpperCase().replaceAll('-', '_')}`;

export const reasonsHeader = (): string =>
  [
    '/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */',
    '/* Written by tools/generate-reasons.ts from packages/verdict/src/reasons.ts: do not edit. */',
    '#ifndef COFFERDAM_REASONS_H',
    '#define COFFERDAM_REASONS_H',
    '',
    ...reasonTable.map((r) => `#define ${constant(r.code)} ${r.number} /* ${r.summary} */`),
    '',
    '#endif',
    '',
  ].join('\n');

export const reasonsDocument = (): string =>
  [
    '# Reasons',
    '',
    'Every verdict carries one of these. Written by `tools/generate-reasons.ts` from `packages/verdict/src/reasons.ts`: do not edit.',
    'A number is never given to another reason.',
    '',
    '| number | reason | verdict | stage | what happened | what to do |',
    '|---|---|---|---|---|---|',
    ...reasonTable.map((r) => `| ${r.number} | \`${r.code}\` | ${r.verdict} | ${r.stage} | ${r.summary} | ${r.help} |`),
    '',
  ].join('\n');

export const copies: readonly { readonly file: string; readonly text: () => string }[] = [
  { file: 'packages/datapath/bpf/reasons.h', text: reasonsHeader },
  { file: 'docs/reasons.md', text: reasonsDocument },
];

if (import.meta.main) {
  let stale = false;
  for (const { file, text } of copies) {
    const path = `${root}${file}`;
    if (process.argv.includes('--check')) {
      if (readFileSync(path, 'utf8') !== text()) {
        console.error(`${file} is stale: run \`node tools/generate-reasons.ts\``);
        stale = true;
      }
    } else writeFileSync(path, text());
  }
  process.exitCode = stale ? 1 : 0;
}
