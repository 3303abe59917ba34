/** Attacks that put one name or address in the place of another. Each is first shown to work where nothing contains it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { attackerSpellings, hello, hostFields, otherQuestions, request, serverNames } from './attacks/names.ts';
import {
  type AttemptWords,
  arrivedSince,
  assertDenied,
  attacksUnavailable,
  attemptInside,
  attemptOutside,
  brief,
  contained,
  denialStatus,
  denials,
  isFlow,
  lastRecords,
  type Made,
} from './attempts.ts';
import { dnsQuestion, replyHead } from './dns-question.ts';

const skip = attacksUnavailable(['curl']);

const web = (names: readonly string[], more = ''): string =>
  agentPolicy({ web: { named: names }, rules: [`web: [named], protocol: tcp${more}`] });

describe('one name in the place of another', { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.stop());

  /** Arrivals that carry anything of the client's: a bare connection that was then cut says nothing. */
  const said = async (since: number) => arrivedSince(lab, since, ['bytes', 'tls', 'request', 'datagram']);
  const single = async (policy: string, words: AttemptWords): Promise<Made> =>
    (await attemptInside(lab, policy, [words]))[0]!;
  /** Exit code of curl, contained. */
  const curl = (policy: string, ...words: readonly string[]) =>
    contained(lab, policy, ['curl', '-sS', '--max-time', '8', '--output', '/dev/null', ...words]);

  describe('two customers of one content network', () => {
    const policy = web(['pypi.org'], ', ports: [80, 443]');
    const other = 'cdn.attacker.example';

    test('uncontained, the other name answers; contained, the permitted one does', async () => {
      const since = await lab.mark();
      const outside = await lab.exec('host', ['curl', '-sS', `https://${other}/`], { env: lab.ca.environment });
      assert.equal(outside.code, 0, outside.stderr);
      for (const family of ['-4', '-6']) assert.equal((await curl(policy, family, 'https://pypi.org/simple')).code, 0);
      assert.deepEqual(
        brief(await arrivedSince(lab, since, ['request'])),
        [`${other}/`, 'pypi.org/simple', 'pypi.org/simple'].map((url) => `cdn:443 request GET ${url}`),
      );
    });

    test('by its name: the question stays here', async () => {
      const since = await lab.mark();
      const { code, records } = await curl(policy, `https://${other}/`);
      assert.equal(code, 6);
      assert.deepEqual([...new Set(denials(records))], ['dns-not-permitted']);
      assert.deepEqual(brief(await arrivedSince(lab, since)), []);
    });

    for (const family of [4, 6] as const) {
      test(`by SNI at the permitted name's address, IPv${family}`, async () => {
        const since = await lab.mark();
        const { code, records } = await curl(
          policy,
          `-${family}`,
          '--connect-to',
          `${other}:443:pypi.org:443`,
          `https://${other}/`,
        );
        assert.equal(code, 35, 'curl: error in the TLS handshake');
        const flow = assertDenied({ records: lastRecords(records) }, 'name-mismatch');
        assert.deepEqual(
          [flow.rule?.name, flow.stage, flow.claimedName],
          ['rule-0', 'name', { state: 'known', value: other }],
        );
        assert.deepEqual(brief(await said(since)), []);
      });

      test(`by Host on port 80, IPv${family}`, async () => {
        const since = await lab.mark();
        const made = await single(policy, {
          protocol: 'tcp',
          host: 'pypi.org',
          family,
          port: 80,
          send: [request(other)],
        });
        assert.match(made.received, /^HTTP\/1\.1 403 [\s\S]*"code":"name-mismatch"[\s\S]*"rule":"rule-0"/);
        assertDenied(made, 'name-mismatch');
        assert.deepEqual(brief(await said(since)), []);
      });

      test(`by Host in plain HTTP on port 443, IPv${family}`, async () => {
        const since = await lab.mark();
        const made = await single(policy, {
          protocol: 'tcp',
          host: 'pypi.org',
          family,
          port: 443,
          send: [request(other)],
        });
        assert.equal(made.end, 'reset');
        assertDenied(made, 'plain-http-unread');
        assert.deepEqual(brief(await said(since)), []);
      });

      test(`at the real address, which no answer gave, IPv${family}`, async () => {
        const since = await lab.mark();
        const host = lab.address('pypi.org', family);
        const send = [hello('pypi.org')];
        const made = await attemptInside(lab, policy, [
          { protocol: 'tcp', host, port: 443, send },
          { protocol: 'tcp', host, port: 443, send: [hello(other)] },
          { protocol: 'tcp', host, port: 80, send: [request(other)] },
          { protocol: 'udp', host, port: 443, send },
        ]);
        for (const one of made) assert.equal(one.end, 'refused');
        for (const one of made.slice(0, 3)) assertDenied(one, 'no-rule');
        assertDenied(made[3]!, 'quic');
        assert.deepEqual(brief(await arrivedSince(lab, since)), []);
      });
    }
  });

  describe('a permitted SNI on the way to the attacker', () => {
    const attacker = { 4: '45.83.64.10', 6: '2a0e:1d40::10' } as const;
    const policy = web(['pypi.org', 'echo.example'], ', ports: [443]');

    test('uncontained, the attacker gets the hello', async () => {
      const since = await lab.mark();
      await attemptOutside(lab, {
        protocol: 'tcp',
        host: attacker[4],
        port: 443,
        send: [hello('pypi.org')],
        patience: 300,
      });
      assert.equal((await lab.arrivals({ since, server: 'attacker', kind: 'bytes', name: 'pypi.org' })).length, 1);
    });

    for (const family of [4, 6] as const) {
      test(`to its address, IPv${family}`, async () => {
        const since = await lab.mark();
        const address = family === 4 ? attacker[4] : `[${attacker[6]}]`;
        for (const words of [
          ['--resolve', `pypi.org:443:${address}`],
          ['--connect-to', `pypi.org:443:${address}:443`],
        ]) {
          const { code, records } = await curl(policy, '--insecure', ...words, 'https://pypi.org/');
          assert.equal(code, 7, 'curl: failed to connect');
          assertDenied({ records: lastRecords(records) }, 'no-rule');
        }
        assert.deepEqual(brief(await arrivedSince(lab, since)), []);
      });
    }

    test('at the address of another permitted name', async () => {
      const since = await lab.mark();
      const made = await single(policy, {
        protocol: 'tcp',
        host: 'echo.example',
        port: 443,
        send: [hello('pypi.org')],
      });
      assertDenied(made, 'name-mismatch');
      assert.deepEqual(brief(await said(since)), []);
    });

    test('at an address of the pool that stands for nothing', async () => {
      const made = await attemptInside(
        lab,
        policy,
        ['198.18.77.77', 'fdc0:ffe7:da11:198::7777'].map((host) => ({
          protocol: 'tcp',
          host,
          port: 443,
          send: [hello('pypi.org')],
        })),
      );
      for (const one of made) {
        assert.equal(one.end, 'refused');
        assertDenied(one, 'address-unmapped');
      }
    });
  });

  describe('names written in other ways', () => {
    const policy = web(['example.com', '*.registry.example', 'bücher.example'], ', ports: [80, 443]');
    const gateway = '198.18.0.1';

    test('the canonical name is what is asked, dialled, forwarded and logged', async () => {
      const since = await lab.mark();
      const tcp = { protocol: 'tcp', host: 'example.com', port: 80 } as const;
      const made = await attemptInside(lab, policy, [
        ...['example.com', 'EXAMPLE.com', 'example.com.', 'example.com:80'].map((host) => ({
          ...tcp,
          send: [request(host)],
        })),
        { ...tcp, host: 'EXAMPLE.COM.', send: [request('example.com')] },
        { ...tcp, port: 443, send: [hello('EXAMPLE.com')] },
      ]);
      for (const one of made.slice(0, 5)) assert.match(one.received, /^HTTP\/1.1 200 /);
      const arrived = await arrivedSince(lab, since, ['request', 'query']);
      assert.deepEqual(brief(arrived), [
        'resolver:53 query example.com A',
        ...Array.from({ length: 5 }, () => 'web:80 request GET example.com/'),
      ]);
      const flows = made.flatMap(({ records }) => records.filter(isFlow));
      for (const { claimedName, verdict } of flows)
        assert.deepEqual([verdict, claimedName], ['permit', { state: 'known', value: 'example.com' }]);
      const ports = (await arrivedSince(lab, since, ['bytes'])).map(({ local }) => local.port);
      assert.ok(ports.includes(443), 'an SNI may differ by ASCII case');
      const { code, stderr } = await curl(policy, 'https://ｅｘａｍｐｌｅ.com/');
      assert.equal(code, 0, stderr);
    });

    test('questions for other names are answered here', async () => {
      const since = await lab.mark();
      const udp = { protocol: 'udp', host: gateway, port: 53 } as const;
      const permitted = ['EXAMPLE', 'coM'];
      const made = await attemptInside(
        lab,
        policy,
        [...otherQuestions.map(([, labels]) => labels), permitted, ['cdn', 'registry', 'example']].map((labels) => ({
          ...udp,
          send: [dnsQuestion({ labels })],
        })),
      );
      for (const [index, [what]] of otherQuestions.entries()) {
        const { received, records } = made[index]!;
        const reply = replyHead(received);
        assert.ok(reply !== undefined && reply.rcode !== 0 && reply.answers === 0, `${what}: ${JSON.stringify(reply)}`);
        assert.equal(records.length, 1, `${what} has one record`);
      }
      assert.equal(replyHead(made.at(-2)!.received)?.answers, 1, 'the permitted name in another case');
      assert.deepEqual(
        brief(await arrivedSince(lab, since)).filter(
          (line) => !/ query (example\.com|cdn\.registry\.example) A$/.test(line),
        ),
        [],
      );
    });

    test('an address in a spelling of inet_aton is an address', async () => {
      const since = await lab.mark();
      const outside = await lab.exec('host', [
        'curl',
        '-sS',
        '-o',
        '/dev/null',
        ...attackerSpellings.map((host) => `http://${host}/`),
      ]);
      assert.equal(outside.code, 0, outside.stderr);
      assert.equal((await lab.arrivals({ since, server: 'attacker', kind: 'connection' })).length > 0, true);
      const marked = await lab.mark();
      for (const host of attackerSpellings) {
        const { code, records } = await curl(policy, `http://${host}/`);
        assert.equal(code, 7, host);
        assertDenied({ records: lastRecords(records) }, 'no-rule', host);
      }
      assert.deepEqual(brief(await arrivedSince(lab, marked)), []);
    });

    test('Host fields on port 80', async () => {
      const before = await lab.mark();
      await attemptOutside(lab, {
        protocol: 'tcp',
        host: 'example.com',
        port: 80,
        send: [hostFields[0]![1]],
        patience: 300,
      });
      assert.deepEqual(brief(await arrivedSince(lab, before, ['request'])), [
        'web:80 request GET cdn.attacker.example/',
      ]);
      const since = await lab.mark();
      const made = await attemptInside(
        lab,
        policy,
        hostFields.map(([, text]) => ({ protocol: 'tcp', host: 'example.com', port: 80, send: [text] })),
      );
      const seen = hostFields.map(([what], index) => [
        what,
        ...denials(made[index]!.records.filter(({ kind }) => kind === 'flow')),
      ]);
      assert.deepEqual(
        seen,
        hostFields.map(([what, , reason]) => [what, reason]),
      );
      for (const [index, [what, , reason]] of hostFields.entries())
        assert.equal(made[index]!.received.slice(0, 13), `HTTP/1.1 ${denialStatus(reason)} `, what);
      assert.deepEqual(brief(await said(since)), []);
    });

    test('names in a ClientHello', async () => {
      const since = await lab.mark();
      const made = await attemptInside(
        lab,
        policy,
        serverNames.map(([, sni]) => ({ protocol: 'tcp', host: 'example.com', port: 443, send: [hello(...sni)] })),
      );
      const seen = serverNames.map(([what], index) => [what, ...denials(made[index]!.records)]);
      assert.deepEqual(
        seen,
        serverNames.map(([what, , reason]) => [what, reason]),
      );
      for (const [index, [what]] of serverNames.entries()) assert.equal(made[index]!.end, 'reset', what);
      assert.deepEqual(brief(await said(since)), []);
    });
  });
});
