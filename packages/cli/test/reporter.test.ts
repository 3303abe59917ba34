import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRecord, parseRecord } from '@cofferdam/flows';
import type { DnsMode } from '@cofferdam/plan';
import { createReporter } from '../src/run/reporter.ts';
import { flowLine } from './records.ts';

type Sketch = Parameters<typeof flowLine>[0];

/** A record of a flow, with what else is to be different. */
const record = (sketch: Sketch, more: object = {}): AnyRecord => {
  const read = parseRecord(JSON.stringify({ ...JSON.parse(flowLine(sketch)), ...more }));
  assert.ok(read.ok, read.ok ? '' : read.error.message);
  return read.value;
};

const query = (id: string, name: string, more: object = {}): AnyRecord => {
  const {
    destination: _d,
    protocol: _p,
    addressNames: _n,
    stage: _s,
    path: _a,
    ...rest
  } = JSON.parse(flowLine({ id, at: 1, end: 1 }));
  const told = {
    ...rest,
    kind: 'dns',
    transport: 'udp',
    server: { address: '198.18.0.1', port: 53 },
    name,
    type: 'A',
    rcode: 'NOERROR',
    reason: 'dns-answered',
    synthetic: [],
    addresses: [],
    ...more,
  };
  const read = parseRecord(JSON.stringify(told));
  assert.ok(read.ok, read.ok ? '' : read.error.message);
  return read.value;
};

const post = { method: 'POST', scheme: 'http', host: 'github.com', path: '/admin' };
const plain = { states: { tls: 'absent' }, claimedName: 'github.com', request: post, path: 'proxy', stage: 'request' };
const addressDenied = { verdict: 'deny', reason: 'dns-address-denied', rcode: 'REFUSED' };

/** What a run says of its records, without the empty column in front of the table. */
const say = (...records: readonly AnyRecord[]) => sayIn('synthetic', ...records);
const sayIn = (mode: DnsMode, ...records: readonly AnyRecord[]) => {
  const reporter = createReporter('desk-agents', 0, mode);
  const lines = records.map(reporter.line).filter((line) => line !== undefined);
  return { lines, table: reporter.table().slice(1) };
};

describe('lines', () => {
  const cases: readonly (readonly [what: string, record: AnyRecord, said: string])[] = [
    [
      'a name that nothing permits',
      query('1', 'gist.github.com', { verdict: 'deny', reason: 'dns-not-permitted', rcode: 'REFUSED' }),
      'denied dns gist.github.com by default (dns-not-permitted: no permit of this agent names it)\n' +
        '  to permit it: add `gist.github.com` to the `web` of a permit rule',
    ],
    [
      'a request',
      record({ id: '1', at: 1, end: 1, name: 'github.com', port: 80, deny: 'no-rule' }, { ...plain, kind: 'request' }),
      'denied http github.com:80 POST /admin by default (no-rule: no rule permits it, so the default denies it)\n' +
        '  to permit it: write a permit rule for tcp port 80 with `github.com` in its `web`, `tls: absent` and `http: { methods: [POST], paths: ["/admin"] }`',
    ],
    [
      'a request that a rule denies',
      record(
        { id: '1', at: 1, end: 1, name: 'github.com', port: 80, deny: 'rule-denies', rule: 'no-posts' },
        { ...plain, kind: 'request' },
      ),
      'denied http github.com:80 POST /admin by desk/no-posts (rule-denies: a rule that matched denies it)\n' +
        '  to permit it: write a permit rule with `tls: absent` and `http: { methods: [POST], paths: ["/admin"] }` above `desk/no-posts`, which denies',
    ],
    [
      'fronting',
      record(
        { id: '1', at: 1, end: 1, name: 'github.com', deny: 'name-mismatch', rule: 'code' },
        { tls: true, claimedName: 'gist.github.com' },
      ),
      'denied tcp github.com:443 (asked for gist.github.com) by desk/code (name-mismatch: the client asked for one name and connected to the address of another)\n' +
        '  to permit it: connect to the name that is asked for; domain fronting is not permitted',
    ],
    [
      'an address that the rule does not lead to',
      query('1', 'db.example', { ...addressDenied, addresses: ['10.0.0.5'] }),
      'denied dns db.example (dns-address-denied: the name is permitted but none of its addresses is)\n' +
        '  to permit it: add a SmartGroup with `cidr: 10.0.0.5/32` to the `to` of the rule that names `db.example`, if it belongs there: a public name that points at a private address is what DNS rebinding looks like',
    ],
    [
      'a resolver that does not answer is not for the policy to mend',
      query('1', 'db.example', { verdict: 'deny', reason: 'dns-upstream', rcode: 'SERVFAIL' }),
      'denied dns db.example (dns-upstream: no upstream resolver answered)\n' +
        '  help: `sudo cofferdam doctor` shows which resolvers answer; `--resolver IP` asks another',
    ],
    [
      'what monitoring lets pass',
      record(
        { id: '1', at: 1, end: 1, name: 'github.com' },
        { reason: 'monitored', enforced: false, wouldBe: { verdict: 'deny', reason: 'no-rule' } },
      ),
      'would deny tcp github.com:443 by default (no-rule: no rule permits it, so the default denies it)\n' +
        '  to permit it: add `github.com` to the `web` of a permit rule for tcp port 443',
    ],
  ];
  for (const [what, one, said] of cases) test(what, () => assert.deepEqual(say(one).lines, [said]));

  test('a denial is said once, and the connection of a denied request not again', () => {
    const sketch = { at: 1, end: 1, name: 'github.com', port: 80, deny: 'no-rule' };
    const request = record({ ...sketch, id: 'r' }, { ...plain, kind: 'request', flow: 'f' });
    const flow = record({ ...sketch, id: 'f' }, plain);
    const { lines, table } = say(request, flow);
    assert.equal(lines.length, 1);
    assert.equal(table.length, 1);
    assert.match(table[0]!, /^DENIED +github\.com:80 +http +1 /);
  });

  test('one family that is denied is not worth a word where the other was answered', () => {
    const other = query('1', 'db.example', { synthetic: ['198.18.1.0'], addresses: ['93.184.216.34'] });
    const denied = query('2', 'db.example', { ...addressDenied, type: 'AAAA', addresses: ['fd00::5'] });
    assert.deepEqual(say(other, denied).lines, []);
    assert.deepEqual(say(other, denied).table, []);
    assert.deepEqual(say(denied, other).table, [], 'the table knows it whatever came first');
    assert.equal(say(denied).lines.length, 1);
  });

  test('that one family is denied is not said before the other family had time to answer', () => {
    const other = query('1', 'db.example', { synthetic: ['198.18.1.0'], addresses: ['93.184.216.34'] });
    const denied = query('2', 'db.example', { ...addressDenied, type: 'AAAA', addresses: ['fd00::5'] });
    const at = denied.end!;
    const holding = () => createReporter('desk-agents', 300);

    const moot = holding();
    assert.deepEqual([moot.line(denied), moot.late(at), moot.line(other)], [undefined, [], undefined]);
    assert.deepEqual(moot.late(Number.POSITIVE_INFINITY), []);

    const alone = holding();
    assert.deepEqual([alone.line(denied), alone.late(at + 299)], [undefined, []]);
    assert.match(alone.late(at + 300)[0]!, /^denied dns db\.example \(dns-address-denied: /);
    assert.deepEqual(alone.late(Number.POSITIVE_INFINITY), [], 'once');
  });

  test('what an agent sends cannot end a line', () => {
    const request = { ...post, path: '/\u001b[2J\nfake' };
    const sketch = { id: '1', at: 1, end: 1, name: 'github.com', port: 80, deny: 'no-rule' };
    const [line] = say(record(sketch, { ...plain, kind: 'request', request })).lines;
    assert.equal(/(?!\n)\p{Cc}/u.test(line!), false);
    assert.equal(line!.split('\n').length, 2);
  });
});

describe('the table', () => {
  const cases: readonly (readonly [what: string, record: AnyRecord, row: RegExp])[] = [
    ['reached', record({ id: '1', at: 1, end: 2, name: 'github.com', rule: 'code' }), /^reached +github\.com:443 +tcp/],
    [
      'no answer',
      record({ id: '1', at: 1, end: 2, name: 'github.com', rule: 'code' }, { toAgent: { bytes: 0, packets: 0 } }),
      /^no answer +github\.com:443 +tcp/,
    ],
    ['no such name', query('1', 'nowhere.example', { rcode: 'NXDOMAIN' }), /^no such name +nowhere\.example +dns +1$/],
    [
      'fronting: what was asked for',
      record(
        { id: '1', at: 1, end: 2, name: 'github.com', deny: 'name-mismatch', rule: 'code' },
        { claimedName: 'gist.github.com' },
      ),
      /^DENIED +github\.com:443 \(asked for gist\.github\.com\) +tcp/,
    ],
    [
      'a name that was only claimed: the address',
      record(
        { id: '1', at: 1, end: 2, address: '93.184.216.34' },
        {
          claimedName: 'github.com',
          reason: 'monitored',
          enforced: false,
          wouldBe: { verdict: 'deny', reason: 'no-rule' },
        },
      ),
      /^would be denied +github\.com:443 \(93\.184\.216\.34\) +tcp/,
    ],
    [
      'a name whose address is denied: the address',
      query('1', 'db.example', { ...addressDenied, addresses: ['10.0.0.5'] }),
      /^DENIED +db\.example A \(10\.0\.0\.5\) +dns +1 +dns-address-denied$/,
    ],
    [
      'a query that only monitoring let pass',
      query('1', 'gist.github.com', { reason: 'dns-not-permitted', enforced: false }),
      /^would be denied +gist\.github\.com A +dns +1 +default +dns-not-permitted$/,
    ],
  ];
  for (const [what, one, row] of cases) test(what, () => assert.match(say(one).table[0] ?? '', row));

  test('many names asked for at one destination: the first, and how many more', () => {
    const fronted = (id: string, claimedName: string) =>
      record({ id, at: 1, end: 2, name: 'github.com', deny: 'name-mismatch', rule: 'code' }, { claimedName });
    const { table } = say(fronted('1', 'a.example'), fronted('2', 'b.example'), fronted('3', 'a.example'));
    assert.equal(table.length, 1);
    assert.match(table[0]!, /github\.com:443 \(asked for a\.example and 1 more\) +tcp +3 /);
  });
});

describe('where an address does not stand for one name, a cure is one that works there', () => {
  const hello = { tls: true, claimedName: 'github.com' };
  const ssh = { states: { tls: 'absent', claimedName: 'absent' } };
  const cases: readonly (readonly [DnsMode, what: string, AnyRecord, cure: string])[] = [
    [
      'track',
      'a name that the client claims',
      record({ id: '1', at: 1, end: 1, name: 'github.com', deny: 'no-rule' }, hello),
      'add `github.com` to the `web` of a permit rule for tcp port 443',
    ],
    [
      'track',
      'a client that claims no name',
      record({ id: '1', at: 1, end: 1, name: 'git.example', port: 22, deny: 'no-rule' }, ssh),
      'permit tcp port 22 to a SmartGroup with `hostname: git.example`, in a rule without `web`',
    ],
    [
      'track',
      'UDP',
      record({ id: '1', at: 1, end: 1, name: 'time.example', port: 123, deny: 'no-rule' }, { protocol: 'udp' }),
      'permit udp port 123 to a SmartGroup with `hostname: time.example`, in a rule without `web`',
    ],
    [
      'track',
      'an address that was given for another name',
      record({ id: '1', at: 1, end: 1, name: 'gist.github.com', deny: 'no-rule' }, hello),
      'let the agent ask this gateway for `github.com`: no answer gave it this address for that name',
    ],
    [
      'track',
      'an address without any name',
      record({ id: '1', at: 1, end: 1, deny: 'no-rule' }),
      'permit tcp port 443 to a SmartGroup with `cidr: 140.82.121.4/32`',
    ],
    [
      'own',
      'a name that the client claims, and that was not resolved',
      record({ id: '1', at: 1, end: 1, deny: 'no-rule' }, hello),
      'add `github.com` to the `web` of a permit rule for tcp port 443',
    ],
    [
      'own',
      'a client that claims no name',
      record({ id: '1', at: 1, end: 1, port: 22, deny: 'no-rule' }, ssh),
      'permit tcp port 22 to a SmartGroup with `cidr: 140.82.121.4/32`',
    ],
  ];
  for (const [mode, what, denied, cure] of cases)
    test(`${mode}: ${what}`, () =>
      assert.equal(sayIn(mode, denied).lines[0]?.split('\n')[1], `  to permit it: ${cure}`));

  test('a name that one family was answered for is not said to be denied, with no address of the pool either', () => {
    const answered = query('1', 'db.example', { addresses: ['93.184.216.34'] });
    const other = query('2', 'db.example', { type: 'AAAA', ...addressDenied });
    assert.deepEqual(sayIn('track', answered, other).lines, []);
    assert.equal(sayIn('track', other).lines.length, 1);
  });
});
