import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reachable } from '@cofferdam/plan';
import { coder, deny, permit, policyOf, smartGroup, webGroup, wednesdayMorning, workload } from '@cofferdam/testkit';
import { loaded } from './sample.ts';

const plan = loaded(
  policyOf(
    [
      deny({ name: 'no-secrets', protocol: 'any', to: ['secrets'] }),
      permit({ name: 'office', protocol: 'any', from: ['coders'], to: ['office'] }),
      permit({
        name: 'github',
        from: ['coders'],
        to: ['public-internet'],
        web: ['github'],
        ports: ['443'],
        tls: 'required',
      }),
      permit({ name: 'database', from: ['coders'], to: ['database'], ports: ['5432'] }),
      deny({ name: 'no-ssh', ports: ['22'] }),
      permit({ name: 'ssh', from: ['coders'], to: ['office'], ports: ['22'] }),
      permit({ name: 'wide', from: ['coders'], to: ['office', 'lab'], ports: ['20-24'] }),
      permit({ name: 'others', from: ['others'] }),
      permit({ name: 'monitored', from: ['coders'], to: ['lab'], mode: 'monitor' }),
      permit({ name: 'expired', from: ['coders'], to: ['lab'], expires: wednesdayMorning }),
    ],
    {
      inventory: [coder, workload('other', ['10.11.1.8'])],
      smart: [
        smartGroup('coders', ['agent:coder']),
        smartGroup('others', ['agent:other'], 'monitor'),
        smartGroup('office', ['cidr:192.0.2.0/24']),
        smartGroup('secrets', ['cidr:192.0.2.128/25']),
        smartGroup('lab', ['cidr:198.51.100.0/24']),
        smartGroup('database', ['host:db.example']),
      ],
      web: [webGroup('github', ['api.github.com'])],
    },
  ),
);

const ofCoder = reachable(plan, 0, wednesdayMorning);

test('an agent reaches what its enforced, active permits name', () => {
  assert.equal(ofCoder.monitored, false);
  assert.deepEqual(
    ofCoder.reaches.map(({ name }) => name),
    ['office', 'github', 'database', 'wide'],
  );
});

test('what an earlier rule decides is taken away', () => {
  const office = ofCoder.reaches[0]!;
  assert.deepEqual(office.destinations, { held: ['192.0.2.0/24'], except: ['192.0.2.128/25'] });
  assert.deepEqual(office.ports, [
    { protocol: 'tcp', range: { first: 0, last: 65535 } },
    { protocol: 'udp', range: { first: 0, last: 442 } },
    { protocol: 'udp', range: { first: 444, last: 65535 } },
    { protocol: 'icmp' },
  ]);
  const wide = ofCoder.reaches[3]!;
  assert.deepEqual(wide.destinations, { held: ['198.51.100.0/24'], except: [] });
  assert.deepEqual(wide.ports, [
    { protocol: 'tcp', range: { first: 20, last: 21 } },
    { protocol: 'tcp', range: { first: 23, last: 24 } },
  ]);
});

test('names and conditions are said', () => {
  const [, github, database] = ofCoder.reaches;
  assert.deepEqual(github?.web, { any: false, domains: ['api.github.com'], urls: [] });
  assert.equal(github?.tls, 'required');
  assert.ok(github?.destinations.held.includes('0.0.0.0/0'));
  assert.ok(github?.destinations.except.includes('10.0.0.0/8'));
  assert.deepEqual(database?.hostnames, ['db.example']);
  assert.deepEqual(database?.destinations, { held: [], except: [] });
});

test('a monitored agent is said to be', () => {
  assert.equal(reachable(plan, 1, wednesdayMorning).monitored, true);
});
