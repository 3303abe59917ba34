/** Addresses that are not what they seem, or that no name may lead to (rows 6, 8, 25). */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { PolicyWords } from './agent-policy.ts';
import { inward, literals, metadata, outside, spellings, wiki } from './attacks/inward.ts';
import { hello, request } from './attacks/names.ts';
import { type AttemptWords, attemptOutside, brief } from './attempts.ts';
import { dnsQuestion, replyHead } from './dns-question.ts';
import { type BypassSite, families, judged, type Try } from './gateway-bypass-site.ts';

const attacker = { 4: '45.83.64.10', 6: '2a0e:1d40::10' } as const;
const platform = '168.63.129.16';
/** Where the names of `inward` lead, and what belongs to the machine below. */
const toInside = [
  ...['10.20.0.0/16', 'fd20::/64', '169.254.0.0/16', 'fd00:ec2::/32', `${platform}/32`, '100.64.0.0/10'],
  ...['127.0.0.0/8', '224.0.0.0/4', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', '2001::/32', '::/96'],
]
  .map((prefix) => `dst net ${prefix}`)
  .join(' or ');
const wild = { web: { named: ['*.attacker.example'] } };
const ports = 'protocol: tcp, ports: [80, 443, 5000]';

export const addressRows = (at: () => BypassSite): void => {
  let site: BypassSite;
  before(() => {
    site = at();
  });

  const web = (host: string, name: string, family: 4 | 6, port: 80 | 443): AttemptWords => ({
    protocol: 'tcp',
    host,
    family,
    port,
    send: [port === 80 ? request(name) : hello(name)],
    patience: 400,
  });

  describe('row 6: a permitted name that points inward', () => {
    const policy: PolicyWords = { ...wild, rules: [`web: [named], ${ports}`] };

    test('uncontained, it reaches the inside', async () => {
      const since = await site.watch();
      await attemptOutside(
        site.lab,
        web('rebind.attacker.example', 'x', 4, 80),
        web('metadata.attacker.example', 'x', 4, 80),
      );
      assert.equal((await since.wire(toInside)).length > 1, true);
    });

    test('its answer is not used, while a public one is', async () => {
      await site.under(policy);
      const since = await site.watch();
      const names = Object.keys(inward);
      const tries: Try[] = families.flatMap((family) => [
        {
          what: 'harmless',
          words: web('harmless.attacker.example', 'harmless.attacker.example', family, 80),
          verdict: 'permit',
        },
        ...names.map((host) => ({ what: host, words: web(host, host, family, 80), verdict: 'unresolved' })),
      ]);
      const made = await judged(site, tries);
      for (const i of [0, names.length + 1]) assert.match(made[i]!.received, /^HTTP\/1\.1 200 /);
      assert.deepEqual(await since.wire(toInside), []);
      const asked = (await since.records()).filter((one) => one.kind === 'dns');
      for (const name of names) {
        const said = asked.filter((one) => one.kind === 'dns' && one.name === name).map(({ reason }) => reason);
        assert.ok(said.includes('dns-address-denied'), `${name}: ${said}`);
      }
    });

    for (const [rights, words] of [
      ['its own', policy],
      ['anywhere', { ...wild, rules: [`to: [anywhere], web: [named], ${ports}`] }],
    ] as const)
      test(`claimed on the way to elsewhere, under a permit of ${rights}`, async () => {
        await site.under(words);
        const since = await site.watch();
        const tries = Object.entries(inward).flatMap(([name, [direct = '']]) => [
          { name, words: web('harmless.attacker.example', name, 4, 443) },
          { name, words: web('harmless.attacker.example', name, 4, 80) },
          // What the agent's own machine keeps says nothing of the gateway.
          ...(/^(127|0|224)\./.test(direct) ? [] : [{ name, words: web(direct, name, 4, 443) }]),
        ]);
        const made = await site.attempt(tries.map(({ words }) => words));
        // Under `anywhere` the private network is permitted, also by its address; what is reserved never is.
        const open = rights === 'anywhere' ? ['rebind', 'mapped', 'nat64', 'six-to-four', 'host'] : [];
        for (const [i, { name, words }] of tries.entries())
          if (!open.includes(name.split('.')[0]!))
            assert.ok(
              made[i]!.records.some(({ verdict }) => verdict === 'deny'),
              `${name} at ${words.host}:${words.port}: ${made[i]!.records.map(({ reason }) => reason)}`,
            );
        const inside = (await since.wire(toInside)).filter(
          (line) => rights === 'its own' || !/ > (10\.20\.0\.10|64:ff9b::|2002:|fd20::10)/.test(line),
        );
        assert.deepEqual(inside, []);
      });

    test('one rule for the name and another for the address do not add up', async () => {
      await site.under({
        ...wild,
        to: { inner: ['{ cidr: 10.20.0.20/32 }'] },
        rules: [`web: [named], ${ports}`, 'to: [inner], protocol: tcp, ports: [5000]'],
      });
      await site.setRecord('pair.attacker.example', ['10.20.0.20']);
      const since = await site.watch();
      await judged(site, [
        {
          what: 'by name',
          words: web('pair.attacker.example', 'pair.attacker.example', 4, 443),
          verdict: 'unresolved',
        },
        { what: 'by address', words: { protocol: 'tcp', host: wiki, port: 5000, patience: 300 }, verdict: 'permit' },
      ]);
      await site.attempt([web(wiki, 'pair.attacker.example', 4, 443), web(wiki, 'pair.attacker.example', 4, 80)]);
      assert.deepEqual(await since.wire('dst net 10.20.0.0/16 and not port 5000'), []);
    });

    test('of several addresses only the public one is dialled, also when it is dead', async () => {
      const host = 'mixed.attacker.example';
      await site.setRecord(host, ['10.20.0.20', attacker[4], metadata]);
      await site.under(policy);
      const since = await site.watch();
      const tries = [web(host, host, 4, 80), web(host, host, 4, 443)];
      assert.match((await site.attempt(tries))[0]!.received, /"server":"attacker"/);
      await site.lab.silence(attacker[4], true);
      try {
        for (const url of [`http://${host}/`, `https://${host}/`])
          assert.notEqual((await site.curl('-m', '1', url)).code, 0);
      } finally {
        await site.lab.silence(attacker[4], false);
      }
      assert.deepEqual(await since.wire(toInside), []);
    });
  });

  describe('row 8: IPv4 addresses inside IPv6 literals', () => {
    const open: PolicyWords = { rules: ['protocol: any'] };
    const both = (hosts: readonly string[], port = 5000): readonly AttemptWords[] =>
      hosts.flatMap((host) => [
        { protocol: 'tcp', host, port, patience: 200 } as const,
        { protocol: 'udp', host, port, send: ['x'], patience: 200 } as const,
      ]);

    test('public-internet counts the address inside, both ways', async () => {
      await site.under(open);
      const since = await site.watch();
      const made = await site.attempt(both(literals.map(({ host }) => host)));
      for (const [i, { end, records }] of made.entries()) {
        assert.equal(end, 'refused', literals[i >> 1]!.what);
        assert.equal(records[0]?.verdict, 'deny', literals[i >> 1]!.what);
      }
      assert.deepEqual(await since.wire('ip6 and port 5000'), []);
      const public_ = await site.attempt(both(Object.values(spellings).map((write) => write(outside))));
      for (const { records } of public_) assert.equal(records[0]?.verdict, 'permit');
      assert.notDeepEqual(await since.wire('ip6 and port 5000'), [], 'a public one does leave');
    });

    test('a permit of the address inside is none of the literal; a deny of it is', async () => {
      const to = { wiki: [`{ cidr: ${wiki}/32 }`] };
      const hosts = Object.values(spellings).map((write) => write(wiki));
      await site.under({ to, rules: ['to: [wiki], protocol: any'] });
      const since = await site.watch();
      const verdicts = async (expected: readonly string[]) => {
        const words = both([wiki, ...hosts]);
        await judged(
          site,
          words.map((one, i) => ({
            what: `${one.host} ${one.protocol}`,
            words: one,
            verdict: expected[i < 2 ? 0 : 1]!,
          })),
        );
      };
      await verdicts(['permit', 'no-rule']);
      await site.under({ to, rules: ['action: deny, to: [wiki], protocol: any', 'to: [anywhere], protocol: any'] });
      await verdicts(['rule-denies', 'rule-denies']);
      assert.deepEqual(brief(await since.arrived()), ['spoke-wiki:5000 connection', 'spoke-wiki:5000 datagram']);
    });

    test('a mapped literal is the IPv4 address', async () => {
      await site.under(open);
      const reserved = 'reserved-address';
      await judged(
        site,
        [
          [wiki, 'no-rule'] as const,
          [metadata, reserved] as const,
          [platform, reserved] as const,
          [outside, 'permit'] as const,
        ].map(([quad, verdict]) => ({
          what: quad,
          words: { protocol: 'tcp', host: `::ffff:${quad}`, port: 5000, patience: 300 },
          verdict,
        })),
      );
    });
  });

  describe('row 25: the platform’s resolver and metadata service', () => {
    const policy: PolicyWords = {
      web: { metadata: ['metadata.example', '*.attacker.example'] },
      rules: ['to: [anywhere], web: [metadata], protocol: tcp', 'to: [anywhere], protocol: any'],
    };
    const hosts = [metadata, 'fd00:ec2::254', platform] as const;

    test('uncontained, they answer', async () => {
      const since = await site.watch();
      await attemptOutside(site.lab, ...hosts.map((host) => web(host, 'metadata', host.includes(':') ? 6 : 4, 80)));
      // Of three addresses two are one server's.
      const servers = (await since.arrived('request')).map(({ server }) => server);
      assert.deepEqual([...new Set(servers)].toSorted(), ['metadata', 'platform']);
    });

    test('by address, whatever is claimed, under a policy that permits anything anywhere', async () => {
      await site.under(policy);
      const since = await site.watch();
      const names = ['metadata.example', 'metadata.attacker.example', 'example.com', '169.254.169.254'];
      const tries = hosts.flatMap((host): Try[] => [
        ...names.flatMap((name) =>
          ([80, 443] as const).map((port) => ({
            what: `${host} ${name}`,
            words: web(host, name, 4, port),
            verdict: 'reserved-address',
          })),
        ),
        {
          what: `${host} 4444`,
          words: { protocol: 'tcp', host, port: 4444, send: ['\0x'] },
          verdict: 'reserved-address',
        },
        { what: `${host} UDP`, words: { protocol: 'udp', host, port: 123, send: ['x'] }, verdict: 'reserved-address' },
      ]);
      const made = await judged(site, tries);
      for (const [i, { received }] of made.entries()) assert.doesNotMatch(received, /200/, tries[i]!.what);
      assert.deepEqual(await since.wire(toInside), []);
    });

    test('by name: it has no usable address, also where it is claimed on the way to elsewhere', async () => {
      await site.under(policy);
      const since = await site.watch();
      await judged(site, [
        { what: 'resolved', words: web('metadata.example', 'metadata.example', 4, 80), verdict: 'unresolved' },
        { what: 'resolved', words: web('metadata.example', 'metadata.example', 6, 80), verdict: 'unresolved' },
      ]);
      assert.deepEqual(await since.reasons(({ kind }) => kind === 'dns'), ['dns-address-denied']);
      await site.attempt(
        [attacker[4], 'harmless.attacker.example'].flatMap((host) => [
          web(host, 'metadata.example', 4, 80),
          web(host, 'metadata.example', 4, 443),
        ]),
      );
      assert.deepEqual(await since.wire(toInside), []);
    });

    test('questions to the platform’s resolver are answered here', async () => {
      const since = await site.watch();
      const ask = (name: string): AttemptWords => ({
        protocol: 'udp',
        host: platform,
        port: 53,
        send: [dnsQuestion({ labels: name.split('.') })],
      });
      const made = await site.attempt([ask('harmless.attacker.example'), ask('secret.example')]);
      assert.deepEqual(
        made.map(({ received }) => replyHead(received)?.rcode),
        [0, 5],
      );
      assert.deepEqual(await since.wire(`dst host ${platform}`), []);
    });
  });
};
