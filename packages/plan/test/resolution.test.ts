import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentOf, isReservedDestination, resolvable, usableAddress } from '@cofferdam/plan';
import {
  address,
  coder,
  deny,
  name,
  permit,
  policyOf,
  smartGroup,
  webGroup,
  wednesdayMorning,
  workload,
} from '@cofferdam/testkit';
import { loaded } from './sample.ts';

const later = wednesdayMorning + 1000;
const quiet = workload('quiet', ['10.11.1.8'], { interface: 'eth1' });
const watched = workload('watched', ['10.11.1.9']);

const plan = loaded(
  policyOf(
    [
      permit({ from: ['coders'], to: ['public-internet'], web: ['github'] }),
      permit({ from: ['coders'], to: ['database'], ports: ['5432'] }),
      permit({ from: ['coders'], to: ['private-networks'] }),
      permit({ from: ['coders'], to: ['public-internet'], ports: ['22'], resolve: ['mirrors'] }),
      permit({ from: ['coders'], to: ['metadata', 'public-internet'], web: ['metadata-names'] }),
      permit({ from: ['coders'], mode: 'monitor', web: ['monitored'] }),
      permit({ from: ['coders'], expires: later, web: ['expired'] }),
      permit({ from: ['coders'], web: ['urls'] }),
      deny({ from: ['coders'], web: ['denied'] }),
    ],
    {
      inventory: [coder, quiet, watched],
      smart: [
        smartGroup('coders', ['label:team=platform']),
        smartGroup('watchers', ['agent:watched'], 'monitor'),
        smartGroup('database', ['host:db.internal.example']),
        smartGroup('metadata', ['cidr:169.254.169.254/32']),
      ],
      web: [
        webGroup('github', ['api.github.com', '*.githubusercontent.com']),
        webGroup('mirrors', ['**.mirror.example']),
        webGroup('metadata-names', ['metadata.example']),
        webGroup('monitored', ['monitored.example']),
        webGroup('expired', ['expired.example']),
        webGroup('denied', ['denied.example']),
        webGroup('urls', ['https://urls.example/a/**']),
      ],
    },
  ),
);

const classOf = (source: string): number => agentOf(plan, 'eth1', address(source))!.class;
const coderClass = classOf('10.11.1.7');

test('agents are known by interface and address', () => {
  assert.equal(agentOf(plan, 'eth1', address('fd11::7'))?.name, 'coder');
  assert.equal(agentOf(plan, 'eth2', address('10.11.1.7')), undefined);
  assert.equal(agentOf(plan, 'eth2', address('10.11.1.9'))?.name, 'watched');
  assert.equal(agentOf(plan, 'eth1', address('10.11.1.1')), undefined);
});

test('a name resolves only where an enforced, active permit of the agent covers it', () => {
  const answers = Object.entries({
    'api.github.com': true,
    'raw.githubusercontent.com': true,
    'a.b.githubusercontent.com': false,
    'github.com': false,
    'db.internal.example': true,
    'other.internal.example': false,
    'deb.mirror.example': true,
    'mirror.example': false,
    'monitored.example': false,
    'expired.example': false,
    'denied.example': false,
    'urls.example': true,
  });
  for (const [text, expected] of answers) {
    assert.equal(resolvable(plan, coderClass, name(text), later), expected, text);
    assert.equal(resolvable(plan, classOf('10.11.1.8'), name(text), later), false, `quiet: ${text}`);
    assert.equal(resolvable(plan, classOf('10.11.1.9'), name(text), later), true, `watched: ${text}`);
  }
  assert.equal(resolvable(plan, coderClass, name('expired.example'), later - 1), true);
});

test('an address is answered only where one permit holds it and the name', () => {
  const rows: readonly [name: string, address: string, usable: boolean][] = [
    ['api.github.com', '140.82.121.6', true],
    ['api.github.com', '2606:50c0::1', true],
    // Rule 2 opens it to everyone who has the address; a name of the internet must not lead there.
    ['api.github.com', '10.0.0.5', false],
    ['api.github.com', '::ffff:10.0.0.5', false],
    ['api.github.com', '64:ff9b::140.82.121.6', true],
    ['api.github.com', '169.254.169.254', false],
    ['api.github.com', '10.11.1.1', false],
    ['api.github.com', '127.0.0.1', false],
    ['metadata.example', '169.254.169.254', true],
    ['metadata.example', '169.254.169.253', false],
    ['db.internal.example', '10.0.0.5', true],
    ['db.internal.example', '8.8.8.8', true],
    ['db.internal.example', '127.0.0.1', false],
    ['db.internal.example', '10.11.1.1', false],
    ['deb.mirror.example', '8.8.8.8', true],
    ['deb.mirror.example', '10.0.0.5', false],
    ['elsewhere.example', '8.8.8.8', false],
  ];
  for (const [text, to, usable] of rows) {
    assert.equal(usableAddress(plan, coderClass, name(text), address(to), wednesdayMorning), usable, `${text} ${to}`);
  }
});

test('monitoring lifts refusals, but no name leads to the platform or the gateway', () => {
  const watchedClass = classOf('10.11.1.9');
  const usable = (to: string): boolean =>
    usableAddress(plan, watchedClass, name('elsewhere.example'), address(to), wednesdayMorning);
  assert.deepEqual(['8.8.8.8', '10.0.0.5', '169.254.169.254', '10.11.1.1', '::1', '::ffff:127.0.0.1'].map(usable), [
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});

test('reserved destinations, those embedded in IPv6 too', () => {
  const reserved = (to: string): boolean => isReservedDestination(plan, address(to));
  assert.deepEqual(
    ['8.8.8.8', '10.0.0.5', '169.254.1.1', '::ffff:169.254.1.1', '64:ff9b::10.11.1.1', 'fe80::1', 'ff02::1'].map(
      reserved,
    ),
    [false, false, true, true, true, true, true],
  );
});
