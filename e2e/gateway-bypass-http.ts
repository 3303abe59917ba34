/** Plain HTTP is judged as TLS is, request by request, and nothing is permitted by being left empty (row 24). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PolicyWords } from './agent-policy.ts';
import { hello } from './attacks/names.ts';
import { bodies, emptyLists, laxForms, other, request } from './attacks/plain-http.ts';
import { type AttemptWords, brief, denials, isFlow, type Made } from './attempts.ts';
import { type BypassSite, judged } from './gateway-bypass-site.ts';

const named = { named: ['github.com'], paths: ['api.github.com'] };
const policy: PolicyWords = {
  web: named,
  rules: [
    'web: [named], protocol: tcp, ports: [80, 443]',
    'web: [paths], protocol: tcp, ports: [80], http: { methods: [GET], paths: ["/open/**"] }',
    // Nobody reads there.
    'web: [named], protocol: tcp, ports: [8080]',
  ],
};
const to = (port: number, ...send: readonly string[]): AttemptWords => ({
  protocol: 'tcp',
  host: 'github.com',
  port,
  send,
  patience: 500,
});

export const httpRows = (at: () => BypassSite): void => {
  const statuses = ({ received }: Made): readonly string[] =>
    [...received.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => match[1]!);
  const single = async (words: AttemptWords): Promise<Made> => (await at().attempt([words]))[0]!;
  const reasonsOf = ({ records }: Made): readonly string[] => [...new Set(denials(records.filter(isFlow)))];

  describe('row 24: plain HTTP', () => {
    test('one connection carries requests for the permitted name, until one for another', async () => {
      const site = at();
      await site.under(policy);
      const since = await site.watch();
      const good = await single(
        to(80, request('github.com', '/1') + request('GITHUB.com.', '/2'), request('github.com', '/3')),
      );
      assert.deepEqual(statuses(good), ['200', '200', '200']);
      for (const cut of [
        (texts: readonly string[]) => [texts.join('')],
        (texts: readonly string[]) => texts,
        (texts: readonly string[]) => texts.flatMap((text) => [text.slice(0, 20), text.slice(20)]),
      ]) {
        const bad = await single(
          to(80, ...cut([request('github.com', '/4'), request(other, '/secret'), request('github.com', '/5')])),
        );
        assert.deepEqual(statuses(bad), ['200', '403']);
        // On a connection that is bound to a name, in every mode.
        assert.match(bad.received, /"code":"(name-mismatch|authority-mismatch|no-rule)"/);
      }
      assert.deepEqual(
        brief(await since.arrived('request')),
        ['/1', '/2', '/3', '/4', '/4', '/4'].map((path) => `github:80 request GET github.com${path}`),
      );
    });

    test('a path or a method that the rule does not name', async () => {
      const site = at();
      await site.under(policy);
      const since = await site.watch();
      const host = 'api.github.com';
      for (const [path, method] of [
        ['/closed', 'GET'],
        ['/open/../closed', 'GET'],
        ['/open/%2e%2e/closed', 'GET'],
        ['//closed', 'GET'],
        ['/OPEN/a', 'GET'],
        ['/open/a', 'DELETE'],
      ] as const) {
        const made = await single({
          ...to(80, request(host, '/open/a') + request(host, path, [], method) + request(host, '/open/b')),
          host,
        });
        assert.deepEqual(statuses(made), ['200', '403'], path);
        assert.deepEqual(reasonsOf(made), ['no-rule'], path);
      }
      const requests = brief(await since.arrived('request'));
      assert.deepEqual([...new Set(requests)], ['github-api:80 request GET api.github.com/open/a']);
    });

    test('a body is no place for a second request', async () => {
      const site = at();
      await site.under(policy);
      const since = await site.watch();
      const made = await site.attempt(bodies.map((text) => to(80, text)));
      assert.deepEqual(made.map(statuses), [['200'], ['200'], ['403'], ['403'], ['403']]);
      const honest = 'github:80 request POST github.com/open/a';
      assert.deepEqual(brief(await since.arrived('request')), [honest, honest]);
    });

    test('what a lax server takes for a request, on ports that are read and on one that is not', async () => {
      const site = at();
      await site.under(policy);
      const since = await site.watch();
      for (const port of [80, 8080]) {
        const names = Object.keys(laxForms);
        const made = await site.attempt(names.map((name) => to(port, ...laxForms[name]!)));
        for (const [i, one] of made.entries()) {
          assert.equal(reasonsOf(one).length, 1, `${port} ${names[i]}: ${reasonsOf(one)}`);
          assert.ok(
            statuses(one).every((status) => status === '403'),
            `${port} ${names[i]}`,
          );
          assert.notEqual(one.end, 'open', `${port} ${names[i]}`);
        }
      }
      // Three octets may yet be another protocol; what makes them a request does not pass.
      const said = (await since.arrived('bytes', 'request')).filter(
        (one) => one.kind !== 'bytes' || one.bytes.length > 3,
      );
      assert.deepEqual(brief(said), []);
    });

    test('TLS on port 80 is held to its name', async () => {
      const site = at();
      await site.under(policy);
      const since = await site.watch();
      const verdict = site.mode === 'synthetic' ? 'name-mismatch' : 'no-rule';
      await judged(site, [
        { what: 'its name', words: to(80, hello('github.com')), verdict: 'permit' },
        { what: 'another', words: to(80, hello(other)), verdict },
      ]);
      assert.equal((await since.arrived('bytes')).length, 1);
    });
  });

  describe('row 24: an empty list is an error, and the plan in force stays', () => {
    // The others are nobody's but the parser's.
    for (const [what, words] of emptyLists.slice(0, 6))
      test(what, async () => {
        const site = at();
        await site.under(policy);
        assert.match(await site.refuses(words), /policy\.yaml:\d+:\d+/, 'it says where');
      });

    test('what was permitted before still is, and a policy without rules denies', async () => {
      const site = at();
      assert.match((await site.curl('https://github.com/')).stdout, /"server":"github"/);
      await site.under({ rules: [] });
      const since = await site.watch();
      assert.equal((await site.curl('https://github.com/')).code, 6);
      // Connections of other tests that nobody has spoken on are cut by then.
      const reasons = (await since.reasons()).filter((one) => one !== 'flow-cut');
      assert.deepEqual(reasons, ['dns-not-permitted']);
      assert.deepEqual(brief(await since.arrived()), []);
    });
  });
};
