import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRateLimiter, createTunnelBudget, defaultTunnelBudget, type TunnelBudgetOptions } from '../src/index.ts';
import { name } from './fakes.ts';

const outcome = (text: string, suffix = 'example.com', over: Partial<TunnelBudgetOptions> = {}): string => {
  const result = createTunnelBudget({ ...defaultTunnelBudget, ...over }).spend('a', suffix, name(text), 0);
  return result.kind === 'within' ? 'within' : result.because;
};

describe('one name', () => {
  for (const [what, text, suffix, expected] of [
    ['a CDN host', 'd111111abcdef8.cloudfront.net', 'cloudfront.net', 'within'],
    ['a bucket', 'my-company-production-artifacts-eu-west-1-1234567890.s3.amazonaws.com', 's3.amazonaws.com', 'within'],
    ['a GUID', '3f2504e0-4f89-11d3-9a0c-0305e82c3301.vault.azure.net', 'vault.azure.net', 'within'],
    ['a label too long', `${'ab'.repeat(27)}.example.com`, 'example.com', 'label-length'],
    ['many labels', `${'abcdefghi.'.repeat(11)}example.com`, 'example.com', 'name-length'],
    ['base32', 'mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiydcmr4fy.example.com', 'example.com', 'entropy'],
    ['a SHA-1', 'da39a3ee5e6b4b0d3255bfef95601890afd80709.example.com', 'example.com', 'within'],
    ['words', 'the-quick-brown-fox-jumps-over-the-lazy-dog.example.com', 'example.com', 'within'],
    ['any-web counts the whole name', 'www.wikipedia.org', '', 'within'],
  ] as const) {
    test(what, () => assert.equal(outcome(text, suffix), expected));
  }
});

describe('many names', () => {
  const options = { ...defaultTunnelBudget, uniqueNames: 3, window: 1000 };

  test('distinct names are counted, repeated ones are free, old ones run out', () => {
    const budget = createTunnelBudget(options);
    const spend = (text: string, at: number) => budget.spend('a', 'example.com', name(text), at).kind;
    assert.deepEqual(
      [
        spend('a.example.com', 0),
        spend('b.example.com', 500),
        spend('c.example.com', 600),
        spend('a.example.com', 700),
      ],
      ['within', 'within', 'within', 'within'],
    );
    assert.equal(spend('d.example.com', 999), 'over');
    assert.equal(spend('d.example.com', 1000), 'within');
    assert.equal(spend('e.example.com', 1001), 'over');
  });

  test('agents and suffixes have budgets of their own', () => {
    const budget = createTunnelBudget({ ...options, uniqueNames: 1 });
    for (const [agent, suffix] of [
      ['a', 'example.com'],
      ['b', 'example.com'],
      ['a', 'example.org'],
    ] as const) {
      assert.equal(budget.spend(agent, suffix, name(`x.${suffix}`), 0).kind, 'within');
      assert.equal(budget.spend(agent, suffix, name(`y.${suffix}`), 0).kind, 'over');
    }
  });

  test('what names could carry together is bounded', () => {
    const budget = createTunnelBudget(defaultTunnelBudget);
    let bits = 0;
    let random = 1;
    for (let i = 0; i < 256; i++) {
      random = (random * 48_271) % 2_147_483_647;
      const label = `${random.toString(16)}${(random * 7).toString(16)}`.slice(0, 24);
      if (budget.spend('a', 'example.com', name(`${label}.example.com`), i).kind === 'within') bits += label.length * 4;
    }
    assert.ok(bits <= 16_000, `${bits} bits left`);
  });

  test('memory is bounded: new suffixes are refused until old ones run out', () => {
    const budget = createTunnelBudget({ ...options, suffixes: 2 });
    assert.equal(budget.spend('a', 'one.example', name('x.one.example'), 0).kind, 'within');
    assert.equal(budget.spend('a', 'two.example', name('x.two.example'), 0).kind, 'within');
    assert.deepEqual(budget.spend('a', 'six.example', name('x.six.example'), 999), {
      kind: 'over',
      because: 'suffixes',
    });
    assert.equal(budget.spend('a', 'six.example', name('x.six.example'), 1000).kind, 'within');
  });
});

describe('rate limiter', () => {
  test('a burst, then the rate; keys apart', () => {
    const limiter = createRateLimiter({ rate: 10, burst: 2, keys: 2 });
    const at0 = [limiter.take('a', 0), limiter.take('a', 0), limiter.take('a', 0), limiter.take('b', 0)];
    assert.deepEqual(at0, [true, true, false, true]);
    assert.deepEqual([limiter.take('a', 99), limiter.take('a', 100), limiter.take('a', 100)], [false, true, false]);
  });
});
