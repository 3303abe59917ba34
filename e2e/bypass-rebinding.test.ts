/** Attacks by addresses: names that are made to point inward, and IPv4 addresses that hide in IPv6 ones. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { addressesEqual, parseAddress } from '@cofferdam/net';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { inward, literals, metadata, outside, spellings, wiki } from './attacks/inward.ts';
import { hello, request } from './attacks/names.ts';
import {
  arrivedSince,
  assertDenied,
  attacksUnavailable,
  attemptInside,
  attemptOutside,
  brief,
  contained,
  denials,
  ordinaryUser,
} from './attempts.ts';
import { startContained } from './contained.ts';

const skip = attacksUnavailable(['curl', 'tcpdump']);

describe('addresses that are not what they seem', { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.stop());

  describe('rebinding: a permitted name that points inward', () => {
    const rules = 'web: [named], protocol: tcp, ports: [80, 443, 3306, 5000]';
    const named = { named: ['*.attacker.example'] };
    const policy = agentPolicy({ web: named, rules: [rules] });

    before(async () => {
      for (const [name, addresses] of Object.entries(inward)) await lab.setRecord(name, addresses);
    });

    test('uncontained, it reaches the inside', async () => {
      const since = await lab.mark();
      await attemptOutside(
        lab,
        { protocol: 'tcp', host: 'rebind.attacker.example', port: 5000, patience: 300 },
        { protocol: 'tcp', host: 'metadata.attacker.example', port: 80, send: [request('metadata')], patience: 300 },
      );
      assert.deepEqual(brief(await arrivedSince(lab, since, ['connection'])), [
        'spoke-database:5000 connection',
        'metadata:80 connection',
      ]);
    });

    test('contained, no such answer is used, while a public one is', async () => {
      const since = await lab.mark();
      const names = ['harmless.attacker.example', ...Object.keys(inward)];
      const tries = names.flatMap((host) =>
        ([4, 6] as const).map(
          (family) => ({ protocol: 'tcp', host, family, port: 80, send: [request(host)], patience: 500 }) as const,
        ),
      );
      const { stdout, records } = await contained(lab, policy, [
        'sh',
        '-c',
        names.map((name) => `getent ahosts ${name} >/dev/null && echo ${name}`).join('\n'),
      ]);
      assert.equal(stdout, 'harmless.attacker.example\n', 'only this name has an address');
      for (const [name, addresses] of Object.entries(inward)) {
        const asked = records.filter((record) => record.kind === 'dns' && record.name === name);
        assert.ok(
          asked.some(({ reason }) => reason === 'dns-address-denied'),
          `${name} ${addresses}: ${denials(asked)}`,
        );
        for (const record of asked) assert.deepEqual(record.kind === 'dns' && record.synthetic, [], name);
      }
      const made = await attemptInside(lab, policy, tries);
      for (const [index, one] of made.entries()) {
        const what = `${tries[index]!.host} IPv${tries[index]!.family}`;
        if (index < 2) assert.match(one.received, /^HTTP\/1.1 200 /, what);
        else assert.equal(one.end, 'unresolved', what);
      }
      const arrived = await arrivedSince(lab, since, ['connection']);
      assert.deepEqual(brief(arrived), ['attacker:80 connection', 'attacker:80 connection']);
    });

    test('reserved addresses are not reached by a name even where the rule says anywhere', async () => {
      const since = await lab.mark();
      const anywhere = agentPolicy({ web: named, rules: [`to: [anywhere], ${rules}`] });
      const made = await attemptInside(
        lab,
        anywhere,
        Object.keys(inward).map((host) => ({
          protocol: 'tcp',
          host,
          family: inward[host]![0]!.includes(':') ? 6 : 4,
          port: 80,
          patience: 400,
        })),
      );
      // A private address is what `anywhere` permits: the denials below are not those of a run that denies everything.
      const reachable = ['rebind', 'mapped', 'nat64', 'six-to-four'].map((name) => `${name}.attacker.example`);
      for (const [index, host] of Object.keys(inward).entries())
        assert.equal(made[index]!.end === 'unresolved', !reachable.includes(host), `${host}: ${made[index]!.end}`);
      assert.deepEqual(
        (await arrivedSince(lab, since, ['connection']))
          .filter(({ server }) => server !== 'spoke-database')
          .map(({ server }) => server),
        [],
      );
    });

    test('one rule for the name and another for the address do not add up', async () => {
      const since = await lab.mark();
      const pair = agentPolicy({
        web: named,
        to: { inner: ['{ cidr: 10.20.0.0/16 }'] },
        rules: [rules, 'to: [inner], protocol: tcp'],
      });
      const [byName, direct] = await attemptInside(lab, pair, [
        { protocol: 'tcp', host: 'rebind.attacker.example', port: 5000, patience: 300 },
        { protocol: 'tcp', host: '10.20.0.10', port: 5000, patience: 300 },
      ]);
      assert.deepEqual([byName!.end, direct!.end], ['unresolved', 'open']);
      assert.deepEqual(brief(await arrivedSince(lab, since, ['connection'])), ['spoke-database:5000 connection']);
    });

    test('of several addresses only the public one is dialled, also when it is dead', async () => {
      await lab.setRecord('mixed.attacker.example', ['10.20.0.20', '45.83.64.10', '169.254.169.254']);
      const since = await lab.mark();
      const tcp = { protocol: 'tcp', host: 'mixed.attacker.example', patience: 1200 } as const;
      const tries = [
        { ...tcp, port: 80, send: [request('mixed.attacker.example')] },
        { ...tcp, port: 443, send: [hello('mixed.attacker.example')] },
      ];
      const live = await attemptInside(lab, policy, tries);
      assert.match(live[0]!.received, /"server":"attacker"/);
      await lab.silence('45.83.64.10', true);
      try {
        for (const one of await attemptInside(lab, policy, tries)) assert.notEqual(one.end, 'closed');
      } finally {
        await lab.silence('45.83.64.10', false);
      }
      const arrived = (await arrivedSince(lab, since, ['connection'])).map(({ server }) => server);
      assert.deepEqual([...new Set(arrived)], ['attacker']);
    });

    test('a record that changes between resolution and connection', async () => {
      const host = 'flip.attacker.example';
      await lab.setRecord(host, ['45.83.64.10']);
      const since = await lab.mark();
      const script = `
        address=$(getent ahostsv4 ${host} | head -n 1 | cut -d ' ' -f 1)
        echo resolved
        read go
        curl -sS --max-time 4 --resolve ${host}:80:$address http://${host}/first
        sleep 6
        getent ahostsv4 ${host} >/dev/null || echo gone
        curl -sS --max-time 4 --resolve ${host}:80:$address http://${host}/second
        curl -sS --max-time 4 http://${host}/third; echo "exit $?"`;
      const run = await startContained(lab, { policy, command: ['sh', '-c', script], user: ordinaryUser });
      await run.waitFor(/resolved/);
      await lab.setRecord(host, ['10.20.0.20']);
      run.child.stdin!.end('\n');
      const { stdout } = await run.ended;
      assert.match(stdout, /"server":"attacker".*"target":"\/first"/);
      assert.match(stdout, /^gone$/m, 'when its answer has expired the name has no usable address any more');
      assert.match(stdout, /^exit 6$/m);
      const reasons = (await run.records()).flatMap((record) => (record.kind === 'dns' ? [record.reason] : []));
      assert.ok(reasons.includes('dns-address-denied'), reasons.join());
      const arrived = (await arrivedSince(lab, since, ['connection'])).map(({ server }) => server);
      assert.deepEqual([...new Set(arrived)], ['attacker'], 'what was judged at resolution is what is dialled');
    });
  });

  describe('IPv4 addresses inside IPv6 literals', () => {
    const port = 5000;
    const tries = (hosts: readonly string[]) =>
      hosts.flatMap((host) => [
        { protocol: 'tcp', host, port, patience: 200 } as const,
        { protocol: 'udp', host, port, send: ['x'], patience: 200 } as const,
      ]);

    test('uncontained, packets for them leave the machine', async () => {
      const capture = await lab.capture();
      try {
        await attemptOutside(lab, ...tries(Object.values(spellings).map((write) => write(wiki))));
        const packets = await capture.packets(`ip6 and port ${port}`);
        for (const write of Object.values(spellings)) {
          const address = parseAddress(write(wiki))!;
          const sent = packets.map((line) => parseAddress(/ > ([^ ]+)\.\d+: /.exec(line)?.[1] ?? ''));
          assert.ok(
            sent.some((one) => one !== undefined && addressesEqual(one, address)),
            write(wiki),
          );
        }
      } finally {
        await capture.stop();
      }
    });

    test('public-internet counts the address inside, both ways', async () => {
      const policy = agentPolicy({ rules: ['protocol: any'] });
      const capture = await lab.capture();
      try {
        const made = await attemptInside(lab, policy, tries(literals.map(({ host }) => host)));
        for (const [index, one] of made.entries()) {
          const { what, reason } = literals[index >> 1]!;
          assert.equal(one.end, 'refused', what);
          assertDenied(one, reason, what);
        }
        assert.deepEqual(await capture.packets(`ip6 and port ${port}`), []);
        const open = await attemptInside(lab, policy, tries(Object.values(spellings).map((write) => write(outside))));
        for (const { records } of open) assert.equal(records[0]?.verdict, 'permit');
        assert.notDeepEqual(await capture.packets(`ip6 and port ${port}`), [], 'a public one does leave');
      } finally {
        await capture.stop();
      }
    });

    test('a permit of the address inside is none of the literal; a deny of it is', async () => {
      const since = await lab.mark();
      const to = { wiki: [`{ cidr: ${wiki}/32 }`] };
      const hosts = Object.values(spellings).map((write) => write(wiki));
      const permits = agentPolicy({ to, rules: ['to: [wiki], protocol: any'] });
      const [direct, ...others] = await attemptInside(lab, permits, tries([wiki, ...hosts]));
      assert.equal(direct!.end, 'open');
      for (const one of others.slice(1)) assertDenied(one, 'no-rule');
      const denies = agentPolicy({
        to,
        rules: ['action: deny, to: [wiki], protocol: any', 'to: [anywhere], protocol: any'],
      });
      for (const one of await attemptInside(lab, denies, tries([wiki, ...hosts]))) assertDenied(one, 'rule-denies');
      assert.deepEqual(brief(await arrivedSince(lab, since)), [
        'spoke-wiki:5000 connection',
        'spoke-wiki:5000 datagram',
      ]);
    });

    test('a mapped literal is the IPv4 address', async () => {
      const since = await lab.mark();
      const policy = agentPolicy({ rules: ['protocol: any'] });
      const hosts = [wiki, metadata, '168.63.129.16', outside].map((quad) => `::ffff:${quad}`);
      const [toWiki, toMetadata, toPlatform, toWeb] = await attemptInside(
        lab,
        policy,
        hosts.map((host) => ({ protocol: 'tcp', host, port: 80, patience: 300 })),
      );
      assertDenied(toWiki!, 'no-rule');
      assertDenied(toMetadata!, 'reserved-address');
      assertDenied(toPlatform!, 'reserved-address');
      assert.equal(toWeb!.end, 'open');
      assert.deepEqual(brief(await arrivedSince(lab, since)), ['web:80 connection']);
    });
  });
});
