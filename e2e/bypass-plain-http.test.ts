/** Plain HTTP is filtered as TLS is: each request by itself, on every port; and nothing is permitted by being left empty. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { FlowRecord } from '@cofferdam/flows';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { hello } from './attacks/names.ts';
import { bodies, emptyLists, laxForms, other, request } from './attacks/plain-http.ts';
import {
  arrivedSince,
  assertDenied,
  attacksUnavailable,
  attemptInside,
  attemptOutside,
  brief,
  contained,
  denials,
  isFlow,
  type Made,
} from './attempts.ts';

const skip = attacksUnavailable(['curl']);

describe('plain HTTP', { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.stop());

  const named = { named: ['github.com'] };
  const byName = agentPolicy({ web: named, rules: ['web: [named], protocol: tcp, ports: [80]'] });
  const byPath = agentPolicy({
    web: named,
    rules: ['web: [named], protocol: tcp, ports: [80], http: { methods: [GET], paths: ["/open/**"] }'],
  });
  const at = (port: number, ...send: readonly string[]) =>
    ({ protocol: 'tcp', host: 'github.com', port, send, patience: 600 }) as const;
  const single = async (policy: string, port: number, ...send: readonly string[]): Promise<Made> =>
    (await attemptInside(lab, policy, [at(port, ...send)]))[0]!;
  const statuses = (made: Made): readonly string[] =>
    [...made.received.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => match[1]!);
  const requestsOf = (made: Made): readonly FlowRecord[] =>
    made.records.filter(isFlow).filter(({ kind }) => kind === 'request');
  const verdicts = (made: Made): readonly string[] =>
    requestsOf(made).map(({ verdict, reason }) => `${verdict} ${reason}`);
  const requests = async (since: number) => brief(await arrivedSince(lab, since, ['request']));

  test('uncontained, one connection carries requests for several names', async () => {
    const since = await lab.mark();
    await attemptOutside(lab, at(80, request('github.com', '/open/a') + request(other, '/secret')));
    assert.deepEqual(await requests(since), [
      `github:80 request GET github.com/open/a`,
      `github:80 request GET ${other}/secret`,
    ]);
  });

  for (const [manner, cut] of [
    ['pipelined in one segment', (...texts: readonly string[]) => [texts.join('')]],
    ['one after the other on one connection', (...texts: readonly string[]) => texts],
    [
      'cut in the middle',
      (...texts: readonly string[]) => texts.flatMap((text) => [text.slice(0, 20), text.slice(20)]),
    ],
  ] as const) {
    describe(manner, () => {
      test('requests for the permitted name all pass', async () => {
        const since = await lab.mark();
        const made = await single(
          byName,
          80,
          ...cut(request('github.com', '/1'), request('github.com', '/2'), request('GITHUB.com.', '/3')),
        );
        assert.deepEqual(statuses(made), ['200', '200', '200']);
        assert.deepEqual(verdicts(made), ['permit rule', 'permit rule', 'permit rule']);
        assert.deepEqual(
          await requests(since),
          ['/1', '/2', '/3'].map((target) => `github:80 request GET github.com${target}`),
        );
      });

      test('another name ends it', async () => {
        const since = await lab.mark();
        const made = await single(
          byName,
          80,
          ...cut(request('github.com', '/1'), request(other, '/secret'), request('github.com', '/3')),
        );
        assert.deepEqual(statuses(made), ['200', '403']);
        assert.match(made.received, /"code":"name-mismatch"|"code":"authority-mismatch"/);
        assert.equal(verdicts(made).length, 2);
        assertDenied(made, requestsOf(made)[1]!.reason);
        assert.deepEqual(await requests(since), ['github:80 request GET github.com/1']);
      });

      test('a path or method that the rule does not name ends it', async () => {
        for (const [target, method] of [
          ['/closed', 'GET'],
          ['/open/../closed', 'GET'],
          ['/open/%2e%2e/closed', 'GET'],
          ['//closed', 'GET'],
          ['/OPEN/a', 'GET'],
          ['/open/a', 'DELETE'],
        ] as const) {
          const since = await lab.mark();
          const made = await single(
            byPath,
            80,
            ...cut(
              request('github.com', '/open/a'),
              request('github.com', target, [], method),
              request('github.com', '/open/b'),
            ),
          );
          assert.deepEqual(statuses(made), ['200', '403'], target);
          assert.deepEqual(verdicts(made), ['permit rule', 'deny no-rule'], target);
          assert.deepEqual(await requests(since), ['github:80 request GET github.com/open/a'], target);
        }
      });
    });
  }

  test('a body is no place for a second request', async () => {
    const since = await lab.mark();
    const made = await attemptInside(
      lab,
      byName,
      bodies.map((text) => at(80, text)),
    );
    assert.deepEqual(made.map(statuses), [['200'], ['200'], ['403'], ['403'], ['403']]);
    assert.deepEqual(await requests(since), [
      'github:80 request POST github.com/open/a',
      'github:80 request POST github.com/open/a',
    ]);
  });

  describe('what a lax server takes for a request', () => {
    test('a real server does', async () => {
      const names = Object.keys(laxForms);
      const outside = await attemptOutside(lab, ...names.map((name) => at(80, ...laxForms[name]!)));
      for (const [index, { received }] of outside.entries()) assert.match(received, /^HTTP\/1.1 200 /, names[index]);
    });

    test('none of it passes for another protocol on port 80', async () => {
      const since = await lab.mark();
      const names = Object.keys(laxForms);
      const made = await attemptInside(
        lab,
        byName,
        names.map((name) => at(80, ...laxForms[name]!)),
      );
      for (const [index, one] of made.entries()) {
        const reasons = new Set(denials(one.records));
        assert.ok(reasons.has('name-mismatch') || reasons.has('name-unreadable'), `${names[index]}: ${[...reasons]}`);
        assert.deepEqual(statuses(one), ['403'], names[index]);
      }
      assert.deepEqual(brief(await arrivedSince(lab, since, ['bytes', 'request'])), []);
    });

    test('none of it passes for another protocol on a port that nobody reads', async () => {
      const since = await lab.mark();
      const names = Object.keys(laxForms);
      const unread = agentPolicy({ web: named, rules: ['web: [named], protocol: tcp, ports: [8080]'] });
      const made = await attemptInside(
        lab,
        unread,
        names.map((name) => at(8080, ...laxForms[name]!)),
      );
      for (const [index, one] of made.entries()) {
        assert.equal(one.end, 'reset', names[index]);
        assertDenied(one, 'plain-http-unread', names[index]);
      }
      assert.deepEqual(await requests(since), []);
    });
  });

  test('TLS on port 80 is held to its name', async () => {
    const since = await lab.mark();
    const [good, bad] = await attemptInside(lab, byName, [at(80, hello('github.com')), at(80, hello(other))]);
    assert.equal(good!.records.find(isFlow)?.verdict, 'permit');
    assert.equal(bad!.end, 'reset');
    assertDenied(bad!, 'name-mismatch');
    assert.equal((await arrivedSince(lab, since, ['bytes'])).length, 1);
    const absent = agentPolicy({ web: named, rules: ['web: [named], protocol: tcp, ports: [80], tls: absent'] });
    assertDenied(await single(absent, 80, hello('github.com')), 'no-rule');
  });

  test('on another port it is read where the rule says that TLS is absent, else it is not passed at all', async () => {
    const read = agentPolicy({ web: named, rules: ['web: [named], protocol: tcp, ports: [8080], tls: absent'] });
    const unread = agentPolicy({ web: named, rules: ['web: [named], protocol: tcp, ports: [8080]'] });
    const since = await lab.mark();
    const made = await attemptInside(lab, read, [
      at(8080, request('github.com:8080', '/1')),
      at(8080, request(`${other}:8080`, '/2')),
      at(8080, request('github.com:80', '/3')),
      at(8080, hello('github.com')),
    ]);
    assert.deepEqual(made.map(statuses), [['200'], ['403'], ['403'], []]);
    for (const [index, reason] of ['name-mismatch', 'name-unreadable', 'no-rule'].entries())
      assertDenied(made[index + 1]!, reason);
    const closed = await attemptInside(lab, unread, [
      at(8080, request('github.com', '/4')),
      at(8080, 'GET', ' / HTTP/1.1\r\n\r\n'),
    ]);
    for (const one of closed) {
      assert.deepEqual([one.end, one.received], ['reset', '']);
      assertDenied(one, 'plain-http-unread');
    }
    assert.deepEqual(await requests(since), ['github:8080 request GET github.com:8080/1']);
    const bytes = (await arrivedSince(lab, since, ['bytes'])).map((one) => (one.kind === 'bytes' ? one.bytes : ''));
    // Three letters may yet be another protocol; what makes them a request does not pass.
    assert.deepEqual(bytes.slice(1), ['GET']);
  });

  test('curl is told which rule and why', async () => {
    const run = await contained(lab, byPath, [
      'curl',
      '-sS',
      '--max-time',
      '5',
      '-w',
      '%{http_code} %{content_type}',
      'http://github.com/closed',
    ]);
    assert.equal(run.code, 0);
    assert.match(
      run.stdout,
      /"title":"denied by policy","status":403,[\s\S]*"code":"no-rule","rule":"default"[\s\S]*403 application\/problem\+json$/,
    );
    assert.match(run.stderr, /denied .*github\.com:80.* by default \(no-rule: /);
    assert.match(run.stderr, /to permit it: /);
  });

  describe('an empty list permits nothing: it is an error, and the command is not started', () => {
    for (const [what, words] of emptyLists) {
      test(what, async () => {
        const since = await lab.mark();
        const run = await contained(lab, agentPolicy(words), [
          'sh',
          '-c',
          'echo started; curl -sS https://github.com/',
        ]);
        assert.deepEqual([run.code, run.stdout], [125, ''], run.stderr);
        assert.match(run.stderr, /policy\.yaml:\d+:\d+/, 'the message says where');
        assert.deepEqual(run.records, []);
        assert.deepEqual(brief(await arrivedSince(lab, since)), []);
      });
    }

    test('a policy without rules runs, and denies', async () => {
      const since = await lab.mark();
      const run = await contained(lab, agentPolicy({ rules: [] }), [
        'sh',
        '-c',
        'echo started; curl -sS --max-time 5 https://github.com/',
      ]);
      assert.deepEqual([run.code, run.stdout], [6, 'started\n']);
      assert.deepEqual([...new Set(denials(run.records))], ['dns-not-permitted']);
      assert.deepEqual(brief(await arrivedSince(lab, since)), []);
    });
  });
});
