import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DomainName,
  type DomainPattern,
  domainPatternMatches,
  globMatches,
  isExactPattern,
  parseDomainPattern,
  parseGlob,
  publicSuffixSection,
  wireName,
} from '@cofferdam/net';
import fc from 'fast-check';
import { holds } from './seed.ts';

const pattern = (text: string): DomainPattern => {
  const parsed = parseDomainPattern(text);
  if (!parsed.ok) assert.fail(`${text}: ${parsed.error.message}`);
  return parsed.value;
};
const name = (text: string): DomainName => wireName(text) ?? assert.fail(text);

for (const [text, matches, misses] of [
  ['example.com', ['example.com'], ['www.example.com', 'example.co', 'example.com.evil.net', 'notexample.com', 'com']],
  ['localhost', ['localhost'], ['a.localhost']],
  [
    '*.example.com',
    ['www.example.com', 'xn--a.example.com'],
    ['example.com', 'a.b.example.com', 'wwwexample.com', 'www.example.com.evil.net'],
  ],
  [
    '**.example.com',
    ['www.example.com', 'a.b.c.example.com'],
    ['example.com', 'notexample.com', 'example.com.evil.net'],
  ],
  [
    'app*.example.com',
    ['app.example.com', 'app1.example.com', 'apple.example.com'],
    ['ap.example.com', 'myapp.example.com', 'app.x.example.com'],
  ],
  ['*app.example.com', ['app.example.com', 'my-app.example.com'], ['apps.example.com']],
  ['a*a.example.com', ['aa.example.com', 'aba.example.com'], ['a.example.com', 'ab.example.com']],
  [
    'a*b*c.example.com',
    ['abc.example.com', 'axbxc.example.com', 'abbcc.example.com'],
    ['acb.example.com', 'ac.example.com'],
  ],
  [
    'eu-*.*.example.com',
    ['eu-.x.example.com', 'eu-1.x.example.com'],
    ['eu-1.example.com', 'us-1.x.example.com', 'eu-1.x.y.example.com'],
  ],
  ['**.api*.example.com', ['x.api.example.com', 'y.x.api2.example.com'], ['api.example.com', 'x.web.example.com']],
  ['*.*.example.com', ['a.b.example.com'], ['a.example.com', 'a.b.c.example.com']],
  ['*.internal', ['db.internal'], ['internal', 'a.db.internal']],
  ['*.bücher.example', ['a.xn--bcher-kva.example'], ['xn--bcher-kva.example']],
  ['1*.0.example.com', ['10.0.example.com'], ['20.0.example.com']],
] as const) {
  test(`${text} takes in ${matches.join(', ')} and not ${misses.join(', ')}`, () => {
    const parsed = pattern(text);
    for (const match of matches) assert.ok(domainPatternMatches(parsed, name(match)), match);
    for (const miss of misses) assert.ok(!domainPatternMatches(parsed, name(miss)), miss);
    assert.equal(isExactPattern(parsed), !text.includes('*'));
  });
}

for (const [text, code, help] of [
  ['*.com', 'pattern-public-suffix', '`*.example.com`'],
  ['**.com', 'pattern-public-suffix', '`**.example.com`'],
  ['*.co.uk', 'pattern-public-suffix', '`*.example.co.uk`'],
  ['api*.co.uk', 'pattern-public-suffix', '`*.example.co.uk`'],
  ['x.*.com', 'pattern-public-suffix', '`*.example.com`'],
  ['*.ck', 'pattern-public-suffix', '`*.www.example.ck`'],
  ['*.kawasaki.jp', 'pattern-public-suffix', 'kawasaki.jp'],
  ['*.中国', 'pattern-public-suffix', 'xn--fiqs8s'],
  ['*.XN--FIQS8S', 'pattern-public-suffix', 'xn--fiqs8s'],
  ['*', 'pattern-no-fixed-part', 'any-web'],
  ['**', 'pattern-no-fixed-part', 'any-web'],
  ['***', 'pattern-no-fixed-part', 'any-web'],
  ['example.*', 'pattern-no-fixed-part', '*.example.com'],
  ['*.example.c*', 'pattern-no-fixed-part', '*.example.com'],
  ['**.*', 'pattern-no-fixed-part', '*.example.com'],
  ['a.**.example.com', 'pattern-double-star', '`**.example.com`'],
  ['a**.example.com', 'pattern-double-star', '`**.example.com`'],
  ['**a.example.com', 'pattern-double-star', '`**.example.com`'],
  ['***.example.com', 'pattern-double-star', '`**.example.com`'],
  ['**.**.example.com', 'pattern-double-star', '`**.example.com`'],
  ['a**.com', 'pattern-double-star', '`**.example.com`'],
  ['.example.com', 'pattern-leading-dot', '`**.example.com`'],
  ['*..example.com', 'name-empty-label', 'single dots'],
  ['*.example.com.', 'name-trailing-dot', '`example.com`'],
  ['*.1.2.3.4', 'name-is-address', 'cidr'],
  ['*.0.1', 'name-numeric', 'cidr'],
  ['10.*', 'pattern-no-fixed-part', '*.example.com'],
  ['ü*.example.com', 'pattern-star-label', 'ASCII'],
  ['a*。example.com', 'pattern-star-label', 'ASCII'],
  ['a *.example.com', 'pattern-star-label', 'ASCII'],
  ['*%00.example.com', 'pattern-star-label', 'ASCII'],
  ['https://*.example.com', 'pattern-is-url', 'urls'],
  ['*.example.com/x', 'pattern-is-url', 'urls'],
  ['*.example.com:443', 'pattern-is-url', 'ports'],
  ['https://example.com', 'name-is-url', '`example.com`'],
  ['', 'name-empty', ''],
  ['192.0.2.1', 'name-is-address', 'cidr'],
  [`${'a'.repeat(64)}*.example.com`, 'name-label-length', '63'],
  [`*.${'a.'.repeat(121)}example.com`, 'name-length', '253'],
] as const) {
  test(`${JSON.stringify(text).slice(0, 60)} is refused: ${code}`, () => {
    const parsed = parseDomainPattern(text);
    assert.ok(!parsed.ok, text);
    assert.equal(parsed.error.code, code, parsed.error.message);
    assert.ok(parsed.error.help.includes(help), parsed.error.help);
  });
}

test('every pattern that a help line proposes is one', () => {
  for (const text of [
    '*.com',
    '**.co.uk',
    '*.ck',
    '*.kawasaki.jp',
    'a**.example.com',
    'a**.com',
    '.example.com',
    '**.**.ck',
  ]) {
    const parsed = parseDomainPattern(text);
    assert.ok(!parsed.ok);
    for (const [, proposal] of parsed.error.help.matchAll(/`([^`]*\.[^`]*)`/g)) pattern(proposal!);
  }
});

for (const [text, shared] of [
  ['*.blob.core.windows.net', true],
  ['**.github.io', true],
  ['app*.s3.amazonaws.com', true],
  ['*.acme.github.io', false],
  ['acme.github.io', false],
  ['github.io', false],
  ['*.example.com', false],
  ['*.internal', false],
] as const) {
  test(`${text} is ${shared ? '' : 'not '}shared hosting`, () => assert.equal(pattern(text).sharedHosting, shared));
}

test('a name that a rule makes an exception is no suffix', () => {
  assert.equal(publicSuffixSection('www.ck'), 'none');
  assert.equal(publicSuffixSection('city.kawasaki.jp'), 'none');
  assert.equal(publicSuffixSection('foo.ck'), 'icann');
});

const piece = fc.stringMatching(/^[ab0_-]{0,3}$/);
const starLabel = fc
  .array(piece, { minLength: 2, maxLength: 5 })
  .map((pieces) => pieces.join('*').replace(/\*{2,}/g, '*'));
const plainLabel = fc.stringMatching(/^[ab0_-]{1,4}$/);
const anyPattern = fc
  .tuple(
    fc.constantFrom('', '**.'),
    fc.array(fc.oneof(starLabel, plainLabel), { maxLength: 4 }),
    fc.constantFrom('a.example', 'b.internal'),
  )
  .map(([deep, labels, fixed]) => deep + [...labels, fixed].join('.'));

/** The obvious twin: try every length for every star. */
function slowGlob(glob: string, text: string, whole = glob === '*'): boolean {
  if (whole) return text.length > 0;
  if (glob === '') return text === '';
  if (glob[0] === '*') {
    for (let n = 0; n <= text.length; n++) if (slowGlob(glob.slice(1), text.slice(n), false)) return true;
    return false;
  }
  return text !== '' && text[0] === glob[0] && slowGlob(glob.slice(1), text.slice(1), false);
}

function slowMatches(text: string, candidate: string): boolean {
  const labels = text.split('.');
  const parts = candidate.split('.');
  if (labels[0] === '**') {
    for (let n = 1; n <= parts.length; n++) {
      if (labels.length > 1 && slowMatches(labels.slice(1).join('.'), parts.slice(n).join('.'))) return true;
    }
    return false;
  }
  return labels.length === parts.length && labels.every((label, i) => slowGlob(label, parts[i]!));
}

/** A name made from the pattern, with a chance to miss it. */
const nearName = (text: string) =>
  fc
    .tuple(
      fc.array(fc.stringMatching(/^[ab0_-]{0,3}$/), { minLength: 40, maxLength: 40 }),
      fc.array(plainLabel, { minLength: 0, maxLength: 3 }),
      fc.option(fc.tuple(fc.nat(60), fc.constantFrom('a', 'b', '.', '')), { freq: 2 }),
    )
    .map(([fill, front, edit]) => {
      let used = 0;
      let made = text
        .replace(/^\*\*\./, front.length === 0 ? '' : `${front.join('.')}.`)
        .replace(/\*/g, () => fill[used++ % 40]!);
      if (edit !== null) made = made.slice(0, edit[0]) + edit[1] + made.slice(edit[0] + 1);
      return made;
    });

test('a pattern takes in what its obvious twin takes in', () => {
  let matched = 0;
  holds(
    fc.property(
      anyPattern.chain((text) => fc.tuple(fc.constant(text), nearName(text))),
      ([text, candidate]) => {
        const parsed = pattern(text);
        const canonical = wireName(candidate);
        if (canonical === undefined) return;
        const expected = slowMatches(parsed.text, canonical);
        if (expected) matched++;
        assert.equal(domainPatternMatches(parsed, canonical), expected, `${text} ${canonical}`);
        if (expected) assert.ok(`.${canonical}`.endsWith(`.${parsed.fixed}`));
      },
    ),
    4000,
  );
  assert.ok(matched > 400, `only ${matched} matches: the generator is too wild`);
});

test('text then parse gives the same pattern; case means nothing', () => {
  holds(
    fc.property(anyPattern, (text) => {
      const parsed = pattern(text);
      assert.deepEqual(pattern(parsed.text), parsed);
      assert.deepEqual(pattern(text.toUpperCase()), parsed);
    }),
  );
});

test('a glob takes in what its obvious twin takes in', () => {
  holds(
    fc.property(fc.stringMatching(/^[ab*]{0,8}$/), fc.stringMatching(/^[ab]{0,10}$/), (glob, text) => {
      assert.equal(globMatches(parseGlob(glob), text), slowGlob(glob, text));
    }),
    5000,
  );
});

test('many stars against a long near miss need no more looks than characters times pieces', () => {
  // A backtracking matcher would try more than 2^30 placements here.
  const many = pattern(`${'a*'.repeat(30)}b.example.com`);
  assert.ok(!domainPatternMatches(many, name(`${'a'.repeat(63)}.example.com`)));
  assert.ok(domainPatternMatches(many, name(`${'a'.repeat(62)}b.example.com`)));
});

test('hostile text is refused as a value, never thrown', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc
      .array(fc.constantFrom('*', '**', '.', 'a', 'com', 'xn--', 'ü', '\0', '/', ':'), { maxLength: 12 })
      .map((parts) => parts.join('')),
  );
  holds(
    fc.property(hostile, (text) => {
      const parsed = parseDomainPattern(text);
      if (parsed.ok) assert.deepEqual(pattern(parsed.value.text), parsed.value);
      else assert.match(parsed.error.code, /^(name|pattern)-[a-z-]+$/);
    }),
    3000,
  );
});
