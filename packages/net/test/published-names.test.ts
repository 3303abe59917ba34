import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { canonicalName, canonicalPath, parseDomainPattern, publicSuffixSection, wireName } from '@cofferdam/net';
import { testdata, withTestdata } from './seed.ts';

const read = (file: string): string => readFileSync(`${testdata}/6_names/${file}`, 'utf8');
const canonicalForm = /^(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;

/** Where the URL standard passes ASCII hosts through with A-labels that UTS 46 refuses. On the wire they are names; written they are not. */
const undecodable = new Set(['xn--a', 'xn--a.xn--zca', 'xn--1ug.example', 'xn--a-yoc', 'xn--zn7c.com', 'xn--0.com']);

test('web platform tests, domain to ASCII: same answer, refused where the form is not ours', withTestdata, () => {
  const rows: (string | { input: string; output: string | null })[] = JSON.parse(read('wpt/toascii.json'));
  let compared = 0;
  for (const row of rows) {
    if (typeof row === 'string') continue;
    compared++;
    const name = canonicalName(row.input);
    const expected =
      row.output !== null && canonicalForm.test(row.output) && !undecodable.has(row.input) ? row.output : undefined;
    assert.equal(name.ok ? name.value : undefined, expected, JSON.stringify(row));
    if (undecodable.has(row.input)) assert.equal(wireName(row.input), row.output);
  }
  assert.ok(compared > 80);
});

test('web platform tests, DNS length: same answer', withTestdata, () => {
  const rows: (string | { input: string; failure: boolean })[] = JSON.parse(read('wpt/verifydnslength_tests.json'));
  for (const row of rows) {
    if (typeof row === 'string') continue;
    const host = row.input.replace(/^http:\/\//, '').replace(/\/$/, '');
    assert.equal(canonicalName(host, { trailingDot: true }).ok, !row.failure, row.input);
  }
});

test(
  'web platform tests, URLs: a host that the URL parser reads as an address is no name; a canonical path is left as it is',
  withTestdata,
  () => {
    const rows: (string | { input: string; hostname?: string; pathname?: string; protocol?: string })[] = JSON.parse(
      read('wpt/urltestdata.json'),
    );
    let hosts = 0;
    for (const row of rows) {
      if (typeof row === 'string' || row.hostname === undefined || !/^https?:$/.test(row.protocol ?? '')) continue;
      hosts++;
      if (/^(?:[0-9.]+|\[.*\])$/.test(row.hostname)) assert.equal(wireName(row.hostname), undefined, row.input);
      const written = /^https?:\/\/([^/?#:@\\]+)(?=[/?#]|$)/i.exec(row.input)?.[1];
      const name = written === undefined ? undefined : canonicalName(written);
      if (name?.ok) assert.equal(name.value, row.hostname, row.input);
      const path = canonicalPath(row.pathname ?? '');
      if (path !== undefined) assert.equal(new URL(`http://x${path}`).pathname, path, row.input);
    }
    assert.ok(hosts > 200);
  },
);

test(
  'public suffix list, its own tests: stars stand below a registrable domain and not below a suffix',
  withTestdata,
  () => {
    let suffixes = 0;
    let registrable = 0;
    for (const line of read('psl_tests/tests/tests.txt').split('\n')) {
      const row = /^([^/\s]+)\s+(\S+)$/.exec(line.trim());
      if (row === null) continue;
      const name = canonicalName(row[1]!);
      if (!name.ok) continue;
      if (row[2] === 'null') {
        // A suffix, or a top label that no rule lists.
        const listed = publicSuffixSection(name.value) !== 'none';
        assert.ok(listed || !name.value.includes('.'), line);
        if (listed) suffixes++;
      } else {
        const domain = canonicalName(row[2]!);
        assert.ok(domain.ok);
        assert.ok(name.value === domain.value || name.value.endsWith(`.${domain.value}`));
        const parsed = parseDomainPattern(`*.${domain.value}`);
        // A registrable name may be the stem of a starred rule: all below it are suffixes.
        if (!parsed.ok) assert.equal(publicSuffixSection(`x.${domain.value}`), 'icann', line);
        else registrable++;
      }
    }
    assert.ok(suffixes > 15 && registrable > 40, `${suffixes} ${registrable}`);
  },
);

test(
  'public suffix list, every rule: the ICANN section refuses a star, the private section warns',
  withTestdata,
  () => {
    const [icann, rest] = read('public_suffix_list.dat').split('// ===END ICANN DOMAINS===') as [string, string];
    const rules = (text: string) =>
      text.split('\n').filter((line) => line !== '' && !line.startsWith('//') && !line.startsWith('!'));
    const other: string[] = [];
    const check = (rule: string, section: 'icann' | 'private') => {
      const stem = rule.replace(/^\*\./, '');
      const found = parseDomainPattern(`**.${stem}`);
      const as = found.ok
        ? found.value.sharedHosting
          ? 'private'
          : 'none'
        : found.error.code === 'pattern-public-suffix'
          ? 'icann'
          : found.error.code;
      if (as !== section) other.push(`${rule}: ${as}`);
    };
    for (const rule of rules(icann)) check(rule, 'icann');
    for (const rule of rules(rest)) check(rule, 'private');
    // The list and the copy in the library are of different days; a changed reader would differ in thousands.
    assert.ok(other.length < 150, `${other.length} rules differ: ${other.slice(0, 20).join(', ')}`);
  },
);
