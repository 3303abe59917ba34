/** The DNS filter as real clients see it: transports, aliases, failures, what is answered here, and what leaves. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DnsRecord } from '@cofferdam/flows';
import { parseAddress, parsePrefix, prefixContains } from '@cofferdam/net';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { attacksUnavailable, attemptInside, contained } from './attempts.ts';
import { dnsQuestion, octets, replyHead } from './dns-question.ts';
import {
  dnsName,
  quadData,
  type Script,
  type ScriptedRecord,
  type ScriptedResolver,
  startScriptedResolver,
} from './scripted-resolver.ts';

const skip = attacksUnavailable(['dig']);

const types = { A: 1, CNAME: 5, SOA: 6, TXT: 16, AAAA: 28, SVCB: 64, HTTPS: 65 } as const;
const a = (name: string, address: string): ScriptedRecord => ({ name, type: types.A, data: quadData(address) });
const alias = (name: string, target: string): ScriptedRecord => ({ name, type: types.CNAME, data: dnsName(target) });
const soa = (name: string): ScriptedRecord => ({
  name,
  type: types.SOA,
  data: dnsName('ns.shop.example') + dnsName('root.shop.example') + [1, 2, 3, 4, 60].map((n) => octets(n, 4)).join(''),
});
const text = (name: string, characters: number): ScriptedRecord => ({
  name,
  type: types.TXT,
  data: octets(characters, 1) + 'x'.repeat(characters),
});
/** RFC 9460, section 2.2. */
const parameter = (key: number, value: string): string => octets(key, 2) + octets(value.length, 2) + value;
const service = (
  name: string,
  type: number,
  priority: number,
  target: string,
  ...parameters: readonly string[]
): ScriptedRecord => ({
  name,
  type,
  data: octets(priority, 2) + dnsName(target) + parameters.join(''),
});
const real = '151.101.0.223';
const bindings = [
  parameter(1, '\x02h2'),
  parameter(3, octets(443, 2)),
  parameter(4, quadData('45.83.64.10')),
  parameter(5, 'an-ech-configuration'),
  parameter(6, '\x2a\x0e\x1d\x40'.padEnd(16, '\0')),
];
const shop = (label: string): string => `${label}.shop.example`;

const script: Script = {
  [`${shop('plain')} 1`]: { answers: [a(shop('plain'), real)] },
  [`${shop('plain')} 28`]: {
    answers: [{ name: shop('plain'), type: types.AAAA, data: `${'\x2a\x04\x4e\x42'.padEnd(14, '\0')}\x02\x23` }],
  },
  [`${shop('alias')} 1`]: {
    answers: [
      alias(shop('alias'), 'one.elsewhere.example'),
      alias('one.elsewhere.example', 'two.elsewhere.example'),
      a('two.elsewhere.example', real),
      a('unrelated.elsewhere.example', '45.83.64.10'),
    ],
  },
  [`${shop('circle')} 1`]: { answers: [alias(shop('circle'), shop('round')), alias(shop('round'), shop('circle'))] },
  [`${shop('stray')} 1`]: { answers: [a('unrelated.elsewhere.example', real)] },
  [`${shop('many')} 1`]: { answers: Array.from({ length: 40 }, (_, i) => a(shop('many'), `151.101.1.${i}`)) },
  [`${shop('large')} 16`]: { onlyTcp: true, answers: Array.from({ length: 20 }, () => text(shop('large'), 200)) },
  [`${shop('gone')} 1`]: { rcode: 3, authorities: [soa('shop.example')] },
  [`${shop('empty')} 1`]: { authorities: [soa('shop.example')] },
  [`${shop('mute')} 1`]: { silent: true },
  [`${shop('ill')} 1`]: { rcode: 2 },
  [`${shop('forged')} 1`]: { forgery: [a(shop('forged'), '45.83.64.10')], answers: [a(shop('forged'), real)] },
  [`${shop('service')} 65`]: { answers: [service(shop('service'), types.HTTPS, 1, '.', ...bindings)] },
  [`_8443._https.${shop('service')} 64`]: {
    answers: [service(`_8443._https.${shop('service')}`, types.SVCB, 1, '.', ...bindings)],
  },
  [`${shop('pointing')} 65`]: {
    answers: [
      service(shop('pointing'), types.HTTPS, 0, 'cdn.attacker.example'),
      service(shop('pointing'), types.HTTPS, 2, 'cdn.attacker.example', ...bindings),
    ],
  },
};

describe('the DNS filter', { skip }, () => {
  let lab: Lab;
  let upstream: ScriptedResolver;
  before(async () => {
    lab = await startLab({ daemons: [] });
    upstream = await startScriptedResolver(lab, script);
  });
  after(() => lab?.stop());

  const policy = agentPolicy({ web: { shop: ['**.shop.example'] }, rules: ['web: [shop], protocol: tcp'] });
  const pool = (['198.18.0.0/16', 'fdc0:ffe7:da11:198::/64'] as const).map((prefix) => {
    const parsed = parsePrefix(prefix);
    assert.ok(parsed.ok);
    return parsed.value;
  });
  const pooled = (address: string): boolean => {
    const parsed = parseAddress(address);
    return parsed !== undefined && pool.some((prefix) => prefixContains(prefix, parsed));
  };

  /** What dig prints for each of the questions, asked one after the other in one run; and the records of that run. */
  const digs = async (questions: readonly string[], resolvers: readonly string[] = [upstream.addresses[0]!]) => {
    const { stdout, stderr, records } = await contained(
      lab,
      policy,
      ['sh', '-c', questions.map((words) => `dig +tries=1 +timeout=9 ${words}; echo =====`).join('\n')],
      { options: resolvers.flatMap((address) => ['--resolver', address]), timeout: 60_000 },
    );
    const said = stdout.split('=====\n').slice(0, -1);
    assert.equal(said.length, questions.length, stderr);
    return { said, records: records.filter((record): record is DnsRecord => record.kind === 'dns') };
  };
  const status = (said: string): string => / status: (\w+)/.exec(said)?.[1] ?? said;
  const answers = (said: string): readonly (readonly string[])[] =>
    (/ANSWER SECTION:\n([\s\S]*?)\n\n/.exec(said)?.[1] ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(/\s+/));
  const data = (said: string): readonly string[] => answers(said).map((fields) => fields.slice(4).join(' '));

  test('over UDP and TCP, to either address of the gateway, with and without EDNS', async () => {
    const servers = ['198.18.0.1', 'fdc0:ffe7:da11::1'];
    const ways = ['+notcp', '+tcp', '+noedns', '+noedns +tcp', '+bufsize=512 +nocookie', '+dnssec', '+norecurse'];
    const questions = servers.flatMap((server) => ways.map((way) => `${way} @${server} ${shop('plain')} A`));
    const { said, records } = await digs(questions);
    for (const [index, one] of said.entries()) {
      assert.equal(status(one), 'NOERROR', questions[index]);
      assert.deepEqual(data(one).map(pooled), [true], questions[index]);
      assert.equal(/OPT PSEUDOSECTION/.test(one), !questions[index]!.includes('+noedns'), questions[index]);
    }
    assert.deepEqual(
      records.map(({ transport, verdict }) => `${transport} ${verdict}`),
      questions.map((question) => `${question.includes('+tcp') ? 'tcp' : 'udp'} permit`),
    );
    assert.equal(new Set(said.flatMap(data)).size, 1, 'one name has one address');
  });

  test('each family has its own address', async () => {
    const { said, records } = await digs([`${shop('plain')} A`, `${shop('plain')} AAAA`]);
    const [four, six] = said.flatMap(data);
    assert.ok(pooled(four!) && pooled(six!) && four !== six);
    assert.deepEqual(
      records.map(({ addresses }) => addresses),
      [[parseAddress(real)], [parseAddress('2a04:4e42::223')]],
    );
  });

  test('aliases are followed here, and what was not asked for is left out', async () => {
    const { said, records } = await digs([shop('alias'), shop('circle'), shop('stray'), shop('many'), shop('forged')]);
    const [aliased, circle, stray, many, forged] = said;
    assert.deepEqual(
      answers(aliased!).map(([name, , , type]) => [name, type]),
      [[`${shop('alias')}.`, 'A']],
    );
    assert.equal(status(circle!), 'SERVFAIL');
    assert.deepEqual([status(stray!), answers(stray!)], ['NOERROR', []]);
    assert.equal(answers(many!).length, 1);
    assert.equal(answers(forged!).length, 1);
    assert.deepEqual(records.find(({ name }) => name === shop('alias'))?.addresses, [parseAddress(real)]);
    assert.deepEqual(records.find(({ name }) => name === shop('forged'))?.addresses, [parseAddress(real)]);
  });

  test('what does not fit a datagram is fetched by TCP, and told by TCP', async () => {
    const large = `${shop('large')} TXT`;
    const { said, records } = await digs([
      large,
      `+ignore ${large}`,
      `+ignore +bufsize=4096 ${large}`,
      `+ignore +noedns ${large}`,
      `+tcp ${large}`,
    ]);
    assert.equal(answers(said[0]!).length, 20);
    for (const cut of said.slice(1, 4)) assert.match(cut, /flags: qr tc/);
    assert.equal(answers(said[4]!).length, 20);
    assert.deepEqual(
      records.slice(0, 2).map(({ transport }) => transport),
      ['udp', 'tcp'],
    );
    assert.ok(upstream.asked().some(({ transport, name }) => transport === 'tcp' && name === shop('large')));
  });

  test('names and data that are not there', async () => {
    const { said, records } = await digs([shop('gone'), shop('empty'), shop('never-heard-of')]);
    assert.deepEqual(said.map(status), ['NXDOMAIN', 'NOERROR', 'NXDOMAIN']);
    for (const one of said) {
      assert.deepEqual(answers(one), []);
      assert.match(one, /AUTHORITY SECTION:\n\S+\s+\d+\s+IN\s+SOA/, 'stub resolvers may remember it');
    }
    assert.deepEqual([...new Set(records.map(({ reason }) => reason))], ['dns-answered']);
  });

  test('an upstream that is silent, ill or absent is told as such, and another one is asked', async () => {
    const dead = '23.215.0.136';
    const closed = '93.184.215.14';
    const alone = await digs([shop('mute'), shop('ill')]);
    assert.deepEqual(alone.said.map(status), ['SERVFAIL', 'SERVFAIL']);
    for (const one of alone.said) assert.match(one, /EDE: 0 \(Other\).*dns-upstream/);
    assert.deepEqual(
      alone.records.map(({ verdict, reason }) => `${verdict} ${reason}`),
      ['deny dns-upstream', 'deny dns-upstream'],
    );
    for (const first of [dead, closed]) {
      const { said } = await digs([shop('plain'), shop('alias')], [first, upstream.addresses[1]!]);
      assert.deepEqual(said.map(status), ['NOERROR', 'NOERROR'], first);
      // The second question does not wait for the dead one again.
      assert.ok(Number(/Query time: (\d+)/.exec(said[1]!)?.[1]) < 1400, first);
    }
    const none = await digs([shop('plain')], [closed]);
    assert.equal(status(none.said[0]!), 'SERVFAIL');
  });

  test('refusals say why in an extended error, to those who can read it', async () => {
    const { said } = await digs([
      'denied.example',
      `${shop('plain')} NULL`,
      '+noedns denied.example',
      `${shop('plain')} CH TXT`,
    ]);
    for (const one of said) assert.equal(status(one), 'REFUSED');
    assert.match(said[0]!, /EDE: 15 \(Blocked\): .*dns-not-permitted/);
    assert.match(said[1]!, /EDE: 17 \(Filtered\): .*dns-type/);
    assert.doesNotMatch(said[2]!, /EDE|OPT/);
    assert.match(said[3]!, /EDE: 17 \(Filtered\): .*dns-type/);
  });

  test('what concerns this network alone is answered here', async () => {
    const before = upstream.asked().length;
    const local = [
      'localhost A',
      'sub.localhost AAAA',
      'printer.local',
      'intranet',
      'wpad',
      'x.home.arpa',
      '_dns.resolver.arpa SVCB',
      'ipv4only.arpa AAAA',
      'use-application-dns.net',
      'hidden.onion',
      '-x 10.20.0.10',
      '-x 140.82.121.6',
      '-x fd20::10',
      '-x 198.18.77.1',
    ];
    const { said, records } = await digs([shop('plain'), ...local]);
    const [plain, localhost, below, ...others] = said;
    assert.deepEqual([data(localhost!), data(below!)], [['127.0.0.1'], ['::1']]);
    for (const [index, one] of others.entries()) assert.equal(status(one), 'NXDOMAIN', local[index + 2]);
    assert.deepEqual([...new Set(records.slice(1).map(({ reason }) => reason))], ['dns-local']);
    const reverse = await digs([`${shop('plain')} A`, `-x ${data(plain!)[0]}`]);
    assert.deepEqual(data(reverse.said[1]!), [`${shop('plain')}.`]);
    assert.deepEqual(
      [
        ...new Set(
          upstream
            .asked()
            .slice(before)
            .map(({ name }) => name),
        ),
      ],
      [shop('plain')],
    );
  });

  test('service bindings lose what would hide the name or lead elsewhere', async () => {
    const plain = await lab.exec('host', ['dig', '+short', `@${upstream.addresses[0]}`, shop('service'), 'HTTPS']);
    assert.match(plain.stdout, /ech=.*ipv6hint=/, 'the upstream does give them');
    const { said } = await digs([
      `${shop('service')} HTTPS`,
      `_8443._https.${shop('service')} SVCB`,
      `${shop('pointing')} HTTPS`,
    ]);
    for (const one of said.slice(0, 2)) assert.deepEqual(data(one), ['1 . alpn="h2" port=443']);
    assert.deepEqual([status(said[2]!), answers(said[2]!)], ['NOERROR', []], 'no alias and no other target');
  });

  test('types that no client needs are not asked for', async () => {
    const before = upstream.asked().length;
    const odd = [
      'ANY',
      'AXFR',
      'NULL',
      'KEY',
      'DNSKEY',
      'DS',
      'RRSIG',
      'NAPTR',
      'PTR',
      'LOC',
      'URI',
      'TYPE65280',
      'TYPE0',
    ];
    const { records } = await digs(odd.map((type) => `+time=1 ${shop('plain')} ${type}`));
    assert.deepEqual(
      records.map(({ verdict, reason, rcode }) => `${verdict} ${reason} ${rcode}`),
      odd.map(() => 'deny dns-type REFUSED'),
    );
    assert.deepEqual(upstream.asked().slice(before), []);
  });

  test('messages that are no plain question are answered here or not at all', async () => {
    const before = upstream.asked().length;
    const question = dnsQuestion({ labels: ['plain', 'shop', 'example'] });
    const two = question.replace(octets(1, 2), octets(2, 2)) + question.slice(12);
    const messages: readonly (readonly [string, string, number | undefined])[] = [
      ['an update', dnsQuestion({ labels: ['plain', 'shop', 'example'], opcode: 5 }), 4],
      ['a notification', dnsQuestion({ labels: ['plain', 'shop', 'example'], opcode: 4 }), 4],
      ['two questions', two, 1],
      ['half a question', question.slice(0, 20), 1],
      ['a response', question.slice(0, 2) + octets(0x8180, 2) + question.slice(4), undefined],
      ['a name that points to itself', `${question.slice(0, 12)}\xc0\x0c${octets(1, 2)}${octets(1, 2)}`, 1],
      ['octets behind the question', `${question}exfiltrated`, 1],
      ['nothing', '', undefined],
    ];
    const made = await attemptInside(
      lab,
      policy,
      messages.map(([, message]) => ({
        protocol: 'udp',
        host: '198.18.0.1',
        port: 53,
        send: [message],
        patience: 400,
      })),
      { options: ['--resolver', upstream.addresses[0]!] },
    );
    for (const [index, [what, , rcode]] of messages.entries()) {
      assert.equal(replyHead(made[index]!.received)?.rcode, rcode, what);
      assert.deepEqual(
        made[index]!.records.map(({ reason }) => reason),
        ['dns-malformed'],
        what,
      );
    }
    assert.deepEqual(upstream.asked().slice(before), []);
  });

  test('a question leaves as our own: no letter case, no option, no flag of the client goes with it', async () => {
    const before = upstream.asked().length;
    const name = 'pLaIn.ShOp.ExAmPlE';
    await digs([
      `+subnet=203.0.113.0/24 ${name}`,
      `+ednsopt=65001:6578666c74726174 +cookie=0102030405060708 ${name} AAAA`,
      `+dnssec +cdflag +adflag ${shop('alias')}`,
    ]);
    const asked = upstream.asked().slice(before);
    assert.deepEqual(
      asked.map((one) => `${one.name} ${one.type}`),
      [`${shop('plain')} 1`, `${shop('plain')} 28`, `${shop('alias')} 1`],
    );
    for (const { message, name: written, type } of asked)
      assert.equal(message.slice(2), dnsQuestion({ labels: written.split('.'), type, edns: 1232 }).slice(2), written);
  });
});
