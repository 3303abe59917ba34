/** Ways out through other transports than TLS over TCP, and what is quick or silent where they are closed. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type ClientHelloOptions, clientHelloStream } from '@cofferdam/testkit';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
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
  lastRecords,
  type Made,
} from './attempts.ts';
import { octets } from './dns-question.ts';

const skip = attacksUnavailable(['git', 'gtlsclient', 'ssh', 'timeout']);

const hello = (options: ClientHelloOptions): string => Buffer.from(clientHelloStream(options)).toString('latin1');
const echType = 0xfe0d;
/** Generous: on an idle machine it is a few milliseconds. */
const quick = 3000;

describe('other transports', { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.stop());

  const said = async (since: number) => arrivedSince(lab, since, ['bytes', 'tls', 'request', 'datagram']);

  describe('Encrypted ClientHello', () => {
    const named = { named: ['github.com'] };
    const policy = agentPolicy({ web: named, rules: ['web: [named], protocol: tcp, ports: [443]'] });
    const refusing = agentPolicy({ web: named, rules: ['web: [named], protocol: tcp, ports: [443], ech: refuse'] });
    const connect = (options: ClientHelloOptions) =>
      ({ protocol: 'tcp', host: 'github.com', port: 443, send: [hello(options)], patience: 500 }) as const;
    const extension = octets(echType, 2);
    const hiding = connect({ sni: 'github.com', ech: true });
    const grease = connect({ sni: 'github.com', ech: 186, grease: true, alpn: ['h2'] });

    test('under a permitted outer name it passes, GREASE too, and the outer name is what is recorded', async () => {
      const since = await lab.mark();
      for (const { records } of await attemptInside(lab, policy, [hiding, grease])) {
        const flow = records.find(isFlow);
        assert.deepEqual([flow?.verdict, flow?.claimedName], ['permit', { state: 'known', value: 'github.com' }]);
      }
      const arrived = (await arrivedSince(lab, since, ['bytes'])).map((one) => (one.kind === 'bytes' ? one.bytes : ''));
      assert.equal(arrived.length, 2);
      for (const bytes of arrived) assert.ok(bytes.includes(extension), 'the extension arrives as it was sent');
    });

    test('under an outer name that is not permitted, or not readable, it does not', async () => {
      const since = await lab.mark();
      const secondName = { type: 0, data: Buffer.from('\0\x0f\0\0\x0cattacker.com', 'latin1') };
      const made = await attemptInside(lab, policy, [
        connect({ sni: 'cdn.attacker.example', ech: true }),
        connect({ sni: 'gist.github.com', ech: true, grease: true }),
        connect({ sni: 'github.com', ech: true, extensions: [secondName] }),
        connect({ sni: 'github.com', ech: true, extensions: [{ type: echType, data: new Uint8Array([0]) }] }),
      ]);
      const reasons = made.map(({ records }) => denials(records));
      assert.deepEqual(reasons, [['name-mismatch'], ['name-mismatch'], ['hello-unreadable'], ['hello-unreadable']]);
      for (const one of made) assert.equal(one.end, 'reset');
      assert.deepEqual(brief(await said(since)), []);
    });

    test('ech: refuse denies the extension, and nothing else', async () => {
      const since = await lab.mark();
      const [real, greased, plain] = await attemptInside(lab, refusing, [
        hiding,
        grease,
        connect({ sni: 'github.com', grease: true }),
      ]);
      for (const one of [real!, greased!]) {
        assert.equal(one.end, 'reset');
        assertDenied(one, 'ech-refused');
      }
      assert.equal(plain!.records.find(isFlow)?.verdict, 'permit');
      assert.equal((await arrivedSince(lab, since, ['bytes'])).length, 1);
    });
  });

  describe('QUIC', () => {
    // A long header, version 1, as large as RFC 9000, section 14.1 wants; nobody here reads further.
    const initial = `\xc3\0\0\0\x01\x08${'d'.repeat(8)}\x08${'s'.repeat(8)}\0`.padEnd(1200, '\0');
    const github = { github: ['{ hostname: github.com }'] };
    const named = { named: ['github.com'] };
    const datagram = (host: string, family: 4 | 6 = 4) =>
      ({ protocol: 'udp', host, family, port: 443, send: [initial], patience: 700 }) as const;
    const web = agentPolicy({ web: named, rules: ['web: [named], protocol: tcp, ports: [443]'] });

    test('a client learns at once that there is none, and TCP is there instead', async () => {
      const control = await lab.mark();
      const client = [
        'timeout',
        '5',
        'gtlsclient',
        '-q',
        '--exit-on-all-streams-close',
        '--handshake-timeout=2s',
        'github.com',
        '443',
      ];
      await lab.exec('host', client);
      assert.notDeepEqual(await lab.arrivals({ since: control, server: 'github', kind: 'datagram', port: 443 }), []);
      const since = await lab.mark();
      const tcp = (family: 4 | 6) =>
        ({
          protocol: 'tcp',
          host: 'github.com',
          family,
          port: 443,
          send: [hello({ sni: 'github.com' })],
          patience: 400,
        }) as const;
      const made = await attemptInside(lab, web, [datagram('github.com'), datagram('github.com', 6), tcp(4), tcp(6)]);
      for (const one of made.slice(0, 2)) {
        assert.equal(one.end, 'refused');
        assert.ok(one.milliseconds < quick, `${one.milliseconds} ms`);
        const flow = assertDenied(one, 'quic');
        assert.deepEqual(flow.addressNames, ['github.com']);
      }
      for (const one of made.slice(2)) assert.equal(one.records.find(isFlow)?.verdict, 'permit');
      const { records } = await contained(lab, web, client);
      assert.deepEqual([...new Set(denials(records))], ['quic']);
      assert.deepEqual(brief(await arrivedSince(lab, since, ['datagram'])), []);
    });

    test('only a rule for UDP that lists 443 by itself, without names, lets it pass', async () => {
      const closed = [
        'to: [github], protocol: udp, ports: ["440-450"]',
        'to: [github], protocol: udp',
        'to: [github], protocol: any, ports: [443]',
        'web: [named], protocol: udp, ports: [443]',
        'web: [named], protocol: any',
      ];
      const since = await lab.mark();
      for (const rule of closed) {
        const used = {
          ...(rule.includes('web:') ? { web: named } : {}),
          ...(rule.includes('to:') ? { to: github } : {}),
        };
        const policy = agentPolicy({ ...used, rules: [rule] });
        for (const one of await attemptInside(lab, policy, [datagram('github.com'), datagram('github.com', 6)]))
          assertDenied(one, 'quic', rule);
      }
      assert.deepEqual(brief(await arrivedSince(lab, since, ['datagram'])), []);
      const open = agentPolicy({ to: github, rules: ['to: [github], protocol: udp, ports: [443]'] });
      for (const one of await attemptInside(lab, open, [datagram('github.com'), datagram('github.com', 6)]))
        assert.equal(one.records.find(isFlow)?.verdict, 'permit');
      assert.deepEqual(brief(await arrivedSince(lab, since, ['datagram'])), [
        'github:443 datagram',
        'github:443 datagram',
      ]);
    });
  });

  describe('servers that speak first', () => {
    const names = { code: ['github.com'], mail: ['mail.example'], data: ['db.example'] };
    const policy = agentPolicy({
      web: names,
      rules: [
        'web: [code], protocol: tcp, ports: [22]',
        'web: [mail], protocol: tcp, ports: [25]',
        'web: [data], protocol: tcp, ports: [3306]',
      ],
    });
    const mail = { protocol: 'tcp', host: 'mail.example', port: 25, afterGreeting: true } as const;

    test('git over ssh, by name', async () => {
      const since = await lab.mark();
      const clone = (repository: string) =>
        contained(
          lab,
          policy,
          ['sh', '-c', `folder=$(mktemp -d) && git clone -q ${repository} $folder/tool && cat $folder/tool/README.md`],
          {
            env: { GIT_SSH_COMMAND: lab.ssh.command },
            // The key is its owner's alone, as ssh demands.
            user: 0,
          },
        );
      const permitted = await clone(lab.ssh.repository);
      assert.match(permitted.stdout, /A repository in the lab/, permitted.stderr);
      const flow = lastRecords(permitted.records).filter(isFlow);
      assert.deepEqual(
        flow.map((one) => [one.verdict, one.addressNames, one.tls.state]),
        [['permit', ['github.com'], 'absent']],
      );
      assert.deepEqual(brief(await arrivedSince(lab, since, ['connection'])), ['github:22 connection']);
      const marked = await lab.mark();
      const other = await clone(lab.ssh.repository.replace('github.com', 'gist.github.com'));
      assert.notEqual(other.code, 0);
      assert.deepEqual([...new Set(denials(other.records))], ['dns-not-permitted']);
      for (const address of ['45.83.64.10', lab.address('github.com')]) {
        const direct = await clone(lab.ssh.repository.replace('github.com', address));
        assert.notEqual(direct.code, 0);
        assertDenied({ records: lastRecords(direct.records) }, 'no-rule');
      }
      assert.deepEqual(brief(await arrivedSince(lab, marked)), []);
    });

    test('mail and databases, by name', async () => {
      const [smtp, mysql] = await attemptInside(lab, policy, [
        { ...mail, send: ['EHLO agent.example\r\n', 'QUIT\r\n'] },
        { protocol: 'tcp', host: 'db.example', port: 3306, afterGreeting: true, patience: 300 },
      ]);
      assert.match(smtp!.received, /^220 [\s\S]*250 8BITMIME[\s\S]*221 bye/);
      assert.match(mysql!.received, /8\.0\.36-lab/);
      for (const one of [smtp!, mysql!])
        assert.deepEqual(
          one.records.filter(isFlow).map(({ verdict, tls }) => [verdict, tls.state]),
          [['permit', 'absent']],
        );
    });

    test('where the rule wants TLS, the greeting does not reach the client', async () => {
      const [outside] = await attemptOutside(lab, { ...mail, patience: 300 });
      assert.match(outside!.received, /^220 /);
      for (const more of ['tls: required', 'http: { methods: [GET] }']) {
        const demanding = agentPolicy({ web: names, rules: [`web: [code, mail, data], protocol: tcp, ${more}`] });
        const made = await attemptInside(lab, demanding, [
          mail,
          { protocol: 'tcp', host: 'db.example', port: 3306 },
          { protocol: 'tcp', host: 'github.com', port: 22 },
        ]);
        for (const one of made) {
          assert.equal(one.received, '', more);
          const flow = assertDenied(one, 'no-rule', more);
          assert.equal(flow.stage === 'packet', false);
        }
      }
    });

    test('TLS or HTTP of the client after the greeting is out of turn', async () => {
      const since = await lab.mark();
      const made = await attemptInside(lab, policy, [
        { ...mail, send: [hello({ sni: 'cdn.attacker.example' })] },
        { ...mail, send: [hello({ sni: 'mail.example' })] },
        { ...mail, send: ['GET / HTTP/1.1\r\nHost: cdn.attacker.example\r\n\r\n'] },
        { ...mail, send: ['\x16', '\x03\x01'] },
        { ...mail, send: ['G', 'ET / HTTP/1.1\r\n\r\n'] },
      ]);
      for (const one of made) {
        assert.match(one.received, /^220 /);
        assert.equal(one.end, 'reset');
        assertDenied(one, 'spoke-out-of-turn');
      }
      const bytes = (await said(since)).map((one) => (one.kind === 'bytes' ? one.bytes : one.kind));
      // One octet alone may yet be anything.
      assert.deepEqual(
        bytes.filter((text) => text !== '\x16' && text !== 'G'),
        [],
      );
    });
  });

  describe('datagrams and private addresses', () => {
    const policy = agentPolicy({
      web: { named: ['echo.example'] },
      to: { wiki: ['{ cidr: 10.20.0.20/32 }', '{ cidr: "fd20::20/128" }'] },
      rules: ['web: [named], protocol: udp, ports: [5000]', 'to: [wiki], protocol: any'],
    });
    const udp = (host: string, port = 5000, family: 4 | 6 = 4) =>
      ({ protocol: 'udp', host, port, family, send: ['ping'] }) as const;
    const tcp = (host: string, port = 5000) =>
      ({ protocol: 'tcp', host, port, send: ['ping'], patience: 300 }) as const;

    test('UDP by name', async () => {
      const since = await lab.mark();
      const made = await attemptInside(lab, policy, [
        udp('echo.example'),
        udp('echo.example', 5000, 6),
        udp('echo.example', 7),
        udp('104.131.20.7'),
        udp('45.83.64.10'),
        udp('2a0e:1d40::10'),
      ]);
      for (const one of made.slice(0, 2)) {
        assert.deepEqual([one.end, one.received], ['answered', 'ping']);
        assert.deepEqual(one.records.find(isFlow)?.addressNames, ['echo.example']);
      }
      for (const one of made.slice(2)) {
        assert.equal(one.end, 'refused');
        assertDenied(one, 'no-rule');
        assert.ok(one.milliseconds < quick);
      }
      assert.deepEqual(brief(await arrivedSince(lab, since, ['datagram'])), [
        'echo:5000 datagram',
        'echo:5000 datagram',
      ]);
    });

    test('a private address that a rule names, and its neighbour', async () => {
      const since = await lab.mark();
      const made = await attemptInside(lab, policy, [
        tcp('10.20.0.20'),
        udp('10.20.0.20'),
        tcp('fd20::20'),
        udp('fd20::20'),
        tcp('10.20.0.10'),
        tcp('fd20::10'),
        udp('10.20.0.21'),
        tcp('10.20.0.1'),
        tcp('wiki.internal.example'),
      ]);
      for (const one of made.slice(0, 4)) assert.equal(one.received, 'ping');
      for (const one of made.slice(4, 8)) assertDenied(one, 'no-rule');
      assert.equal(made[8]!.end, 'unresolved', 'an address in a rule makes no name known');
      assert.deepEqual([...new Set((await arrivedSince(lab, since)).map(({ server }) => server))], ['spoke-wiki']);
    });
  });

  describe('rejected or dropped', () => {
    const attacker = ['45.83.64.10', '2a0e:1d40::10'];
    const tries = attacker.flatMap((host) => [
      { protocol: 'tcp', host, port: 4444, patience: 2000 } as const,
      { protocol: 'udp', host, port: 4444, send: ['x'], patience: 2000 } as const,
    ]);
    const policy = (more: string): string =>
      agentPolicy({
        web: { named: ['github.com'] },
        rules: [
          `web: [named], protocol: tcp, ports: [443]${more}`,
          `action: deny, to: [anywhere], protocol: any${more}`,
        ],
      });
    const mismatch = {
      protocol: 'tcp',
      host: 'github.com',
      port: 443,
      send: [hello({ sni: 'gist.github.com' })],
      patience: 1500,
    } as const;
    const control = async (): Promise<void> => {
      const since = await lab.mark();
      await attemptOutside(lab, ...tries.map((one) => ({ ...one, patience: 200 })));
      assert.equal((await arrivedSince(lab, since, ['connection', 'datagram'])).length, 4);
    };
    const reasons = (made: readonly Made[]) => made.map(({ records }) => denials(records).join());

    test('reject is told at once, at the first packet and at the name', async () => {
      await control();
      const since = await lab.mark();
      const made = await attemptInside(lab, policy(''), [...tries, mismatch]);
      assert.deepEqual(
        made.map(({ end }) => end),
        ['refused', 'refused', 'refused', 'refused', 'reset'],
      );
      for (const { milliseconds } of made) assert.ok(milliseconds < quick, `${milliseconds} ms`);
      assert.deepEqual(reasons(made), [...tries.map(() => 'rule-denies'), 'name-mismatch']);
      assert.deepEqual(brief(await said(since)), []);
    });

    test('drop is silence', async () => {
      const since = await lab.mark();
      const made = await attemptInside(lab, policy(', onDeny: drop'), [...tries, mismatch]);
      assert.deepEqual(
        made.map(({ end, received }) => [end, received]),
        [...tries.map(() => ['silent', '']), ['open', '']],
      );
      assert.deepEqual(reasons(made), [...tries.map(() => 'rule-denies'), 'name-mismatch']);
      assert.deepEqual(brief(await said(since)), []);
    });
  });
});
