/** Attacks that put one name or address in the place of another. Each is first shown to work where nothing contains it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { clientHelloStream } from '@cofferdam/testkit';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import {
  type AttemptWords,
  arrivedSince,
  assertDenied,
  attacksUnavailable,
  attemptInside,
  attemptOutside,
  brief,
  contained,
  denials,
  isFlow,
  lastRecords,
  type Made,
} from './attempts.ts';
import { dnsQuestion, replyHead } from './dns-question.ts';

const skip = attacksUnavailable(['curl']);

const hello = (...sni: readonly string[]): string =>
  Buffer.from(clientHelloStream(sni.length === 0 ? {} : { sni: sni.length === 1 ? sni[0]! : sni })).toString('latin1');
const request = (host: string, target = '/'): string =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
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
    const suffix = ['attacker', 'example'];

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

    const questions: readonly (readonly [string, readonly string[]])[] = [
      ['a NUL behind a permitted name', ['example.com\0', ...suffix]],
      ['a NUL in a label of its own', ['example', 'com\0', ...suffix]],
      ['dots inside a label', ['example.com', ...suffix]],
      ['a permitted name in one label', ['example.com']],
      ['a permitted name as prefix', ['example', 'com', ...suffix]],
      ['a permitted name as suffix of a label', ['evilexample', 'com']],
      ['a label before an exact name', ['secret', 'example', 'com']],
      ['two labels where the star is one', ['a', 'b', 'registry', 'example']],
      ['the apex below a star', ['registry', 'example']],
      ['a star itself', ['*', 'registry', 'example']],
      ['a space', ['a b', 'registry', 'example']],
      ['a line feed', ['a\nb', 'registry', 'example']],
      ['a percent sign', ['a%2eb', 'registry', 'example']],
      ['a slash', ['a/b', 'registry', 'example']],
      ['brackets', ['[example', 'com]']],
      ['a homograph (Cyrillic а)', ['xn--exmple-4nf', 'com']],
      ['UTF-8', [Buffer.from('bücher').toString('latin1'), 'example']],
      ['a dotted quad', ['45', '83', '64', '10']],
      ['a number', ['759382026']],
      ['a hexadecimal number', ['0x2d53400a']],
      ['the root', []],
      ['a name of 254 octets', ['a', 'b', 'c', 'd'].map((letter, i) => letter.repeat(i < 3 ? 63 : 61))],
    ];

    test('questions for other names are answered here', async () => {
      const since = await lab.mark();
      const udp = { protocol: 'udp', host: gateway, port: 53 } as const;
      const permitted = ['EXAMPLE', 'coM'];
      const made = await attemptInside(
        lab,
        policy,
        [...questions.map(([, labels]) => labels), permitted, ['cdn', 'registry', 'example']].map((labels) => ({
          ...udp,
          send: [dnsQuestion({ labels })],
        })),
      );
      for (const [index, [what]] of questions.entries()) {
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
      const spellings = ['45.83.64.10', '759382026', '0x2d53400a', '055.0123.0100.012', '45.5455882'];
      const outside = await lab.exec('host', [
        'curl',
        '-sS',
        '-o',
        '/dev/null',
        ...spellings.map((host) => `http://${host}/`),
      ]);
      assert.equal(outside.code, 0, outside.stderr);
      assert.equal((await lab.arrivals({ since, server: 'attacker', kind: 'connection' })).length > 0, true);
      const marked = await lab.mark();
      for (const host of spellings) {
        const { code, records } = await curl(policy, `http://${host}/`);
        assert.equal(code, 7, host);
        assertDenied({ records: lastRecords(records) }, 'no-rule', host);
      }
      assert.deepEqual(brief(await arrivedSince(lab, marked)), []);
    });

    const head = (...lines: readonly string[]): string =>
      ['GET / HTTP/1.1', ...lines, 'Connection: close', '', ''].join('\r\n');
    /** A head that is not strict has no readable name either, and these permits rest on one. */
    const hosts: readonly (readonly [string, string, string])[] = [
      ['another name', request('cdn.attacker.example'), 'name-mismatch'],
      ['a NUL', request('example.com\0.attacker.example'), 'name-unreadable'],
      ['two trailing dots', request('example.com..'), 'name-unreadable'],
      ['another port', request('example.com:8080'), 'name-unreadable'],
      ['user information', request('example.com@attacker.example'), 'name-unreadable'],
      ['user information before', request('attacker.example@example.com'), 'name-unreadable'],
      ['a list', request('example.com, attacker.example'), 'name-unreadable'],
      ['brackets', request('[example.com]'), 'name-unreadable'],
      ['an address in brackets', request('[::1]'), 'name-unreadable'],
      ['an address', request('45.83.64.10'), 'name-unreadable'],
      ['a number', request('759382026'), 'name-unreadable'],
      ['a hexadecimal number', request('0x2d53400a'), 'name-unreadable'],
      ['a percent escape', request('example%2ecom'), 'name-unreadable'],
      ['a path', request('example.com/.attacker.example'), 'name-unreadable'],
      ['UTF-8', request(Buffer.from('exаmple.com').toString('latin1')), 'name-unreadable'],
      ['a bare line feed', head('Host: example.com\nHost: attacker.example'), 'name-unreadable'],
      ['a bare carriage return', head('Host: example.com\rHost: attacker.example'), 'name-unreadable'],
      ['a folded line', head('Host: example.com', ' .attacker.example'), 'name-unreadable'],
      ['twice', head('Host: example.com', 'Host: attacker.example'), 'name-unreadable'],
      ['a space before the colon', head('Host : example.com'), 'name-unreadable'],
      [
        'an absolute target',
        head('Host: example.com').replace('GET /', 'GET http://attacker.example/'),
        'name-mismatch',
      ],
      [
        'an absolute target behind',
        head('Host: attacker.example').replace('GET /', 'GET http://example.com/'),
        'authority-mismatch',
      ],
      ['CONNECT', head('Host: example.com').replace('GET /', 'CONNECT attacker.example:443'), 'request-unreadable'],
    ];

    test('Host fields on port 80', async () => {
      const before = await lab.mark();
      await attemptOutside(lab, {
        protocol: 'tcp',
        host: 'example.com',
        port: 80,
        send: [hosts[0]![1]],
        patience: 300,
      });
      assert.deepEqual(brief(await arrivedSince(lab, before, ['request'])), [
        'web:80 request GET cdn.attacker.example/',
      ]);
      const since = await lab.mark();
      const made = await attemptInside(
        lab,
        policy,
        hosts.map(([, text]) => ({ protocol: 'tcp', host: 'example.com', port: 80, send: [text] })),
      );
      const seen = hosts.map(([what], index) => [
        what,
        ...denials(made[index]!.records.filter(({ kind }) => kind === 'flow')),
      ]);
      assert.deepEqual(
        seen,
        hosts.map(([what, , reason]) => [what, reason]),
      );
      for (const [index, [what]] of hosts.entries()) assert.match(made[index]!.received, /^HTTP\/1.1 403 /, what);
      assert.deepEqual(brief(await said(since)), []);
    });

    const namesInHello: readonly (readonly [string, readonly string[], string])[] = [
      ['another name', ['cdn.attacker.example'], 'name-mismatch'],
      ['a name that ends alike', ['evilexample.com'], 'name-mismatch'],
      ['a name that begins alike', ['example.com.attacker.example'], 'name-mismatch'],
      ['a trailing dot', ['example.com.'], 'name-unreadable'],
      ['a NUL', ['example.com\0.attacker.example'], 'name-unreadable'],
      ['a line feed', ['example.com\n'], 'name-unreadable'],
      ['an address', ['93.184.215.14'], 'name-unreadable'],
      ['brackets', ['[2606:2800:21f::20]'], 'name-unreadable'],
      ['UTF-8', [Buffer.from('exаmple.com').toString('latin1')], 'name-unreadable'],
      ['nothing', [''], 'hello-unreadable'],
      ['two names', ['example.com', 'attacker.example'], 'hello-unreadable'],
    ];

    test('names in a ClientHello', async () => {
      const since = await lab.mark();
      const made = await attemptInside(
        lab,
        policy,
        namesInHello.map(([, sni]) => ({ protocol: 'tcp', host: 'example.com', port: 443, send: [hello(...sni)] })),
      );
      const seen = namesInHello.map(([what], index) => [what, ...denials(made[index]!.records)]);
      assert.deepEqual(
        seen,
        namesInHello.map(([what, , reason]) => [what, reason]),
      );
      for (const [index, [what]] of namesInHello.entries()) assert.equal(made[index]!.end, 'reset', what);
      assert.deepEqual(brief(await said(since)), []);
    });
  });
});
