/** Track mode in the kernel: an address is called what this agent was given it for, and nobody else. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventKind, firstSetId, flowState } from '@cofferdam/datapath';
import type { Address } from '@cofferdam/net';
import type { PolicySet } from '@cofferdam/policy';
import {
  clientHelloStream,
  contextOf,
  deny,
  type Ends,
  echoFrame,
  address as ip,
  name,
  permit,
  policyOf,
  smartGroup,
  udpFrame,
  webGroup,
  workload,
} from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import { lab, labForTests } from './kernel-flow-world.ts';
import {
  Connection,
  helloRetryRequest,
  kernelUnavailable,
  loadedPlan,
  plainServerHello,
  type Sent,
} from './kernel-lab.ts';

const families = [4, 6] as const;
const addresses = {
  4: { coder: ip('10.11.1.7'), other: ip('10.11.1.8'), server: ip('93.184.216.34'), pool: ip('198.18.1.1') },
  6: { coder: ip('fd11::7'), other: ip('fd11::8'), server: ip('2606:2800:220:1::5'), pool: ip('fd00:cffd:1::1') },
} as const;
const api = name('api.example.com');
const blog = name('blog.example.com');
const stranger = name('stranger.example');
const groups = {
  web: [webGroup('api', [api]), webGroup('blog', [blog]), webGroup('bad', ['**.evil.example'])],
  smart: [
    smartGroup('named', [`host:${api}`]),
    smartGroup('service', ['cidr:93.184.216.0/24', 'cidr:2606:2800:220:1::/64']),
  ],
  inventory: [
    workload('coder', ['10.11.1.7', '10.11.1.9', 'fd11::7'], { interface: 'eth1' }),
    workload('other', ['10.11.1.8', 'fd11::8'], { interface: 'eth1' }),
  ],
};
const rules = (...list: Parameters<typeof policyOf>[0]): PolicySet => policyOf(list, groups);
const toApi = permit({ web: ['api'], ports: ['443'] });
const toBlog = permit({ web: ['blog'], ports: ['443'] });

const use = (policy: PolicySet): void => lab.apply(loadedPlan(policy, contextOf(policy, { dnsMode: 'track' })));

let port = 0;
const ends = (source: Address, destination: Address, destinationPort = 443): Ends => {
  port = (port + 1) % 50_000;
  return { source, destination, sourcePort: 1024 + port, destinationPort };
};
const hello = (sni: string): Uint8Array => clientHelloStream({ sni });
const reasonOf = (sent: Sent): string =>
  reasonFromNumber(sent.events.find(({ kind }) => kind !== eventKind.nameMiss)?.flow.reason ?? 0);

const inLab = (work: (family: 4 | 6) => void) => (): void =>
  lab.inside(() => {
    for (const family of families) {
      lab.forgetAll();
      for (const { holder, address } of lab.kernel.standingTracked()) lab.kernel.untrack(holder, address);
      work(family);
    }
  });

describe('track mode', { skip: kernelUnavailable() }, () => {
  labForTests();

  const opened = (family: 4 | 6, source: Address = addresses[family].coder): Connection => {
    const connection = new Connection(lab, ends(source, addresses[family].server));
    assert.equal(connection.open().outcome, 'pass');
    return connection;
  };
  /** What becomes of a flow that claims a name. */
  const claiming = (family: 4 | 6, sni: string, source?: Address): string => {
    const sent = opened(family, source).say(hello(sni));
    return sent.outcome === 'pass' ? 'pass' : reasonOf(sent);
  };
  const refused = (source: Address, destination: Address): string => {
    const sent = new Connection(lab, ends(source, destination)).syn();
    assert.equal(sent.outcome, 'reject');
    return reasonOf(sent);
  };

  test(
    'an address that no answer gave is refused at its SYN, and so is one whose answer is over',
    inLab((f) => {
      use(rules(toApi));
      const { coder, server } = addresses[f];
      assert.equal(refused(coder, server), 'no-rule');
      const id = lab.track('coder', server, [api]);
      assert.equal(opened(f).flow?.state, flowState.pending);
      assert.equal(opened(f).flow?.name, id);
      assert.equal(claiming(f, api), 'pass');
      lab.track('coder', server, []);
      assert.equal(refused(coder, server), 'no-rule');
    }),
  );

  test(
    'what one agent was told is nothing to another, and is the same on each address of its own',
    inLab((f) => {
      use(rules(toApi));
      const { coder, other, server } = addresses[f];
      lab.track('coder', server, [api]);
      assert.equal(refused(other, server), 'no-rule');
      assert.equal(claiming(f, api, coder), 'pass');
      if (f === 4) assert.equal(claiming(f, api, ip('10.11.1.9')), 'pass');
      lab.track('other', server, [blog]);
      assert.equal(refused(other, server), 'no-rule', 'its own name is not the one that is permitted');
      use(rules(toBlog));
      assert.equal(claiming(f, blog, other), 'pass');
      assert.equal(refused(coder, server), 'no-rule');
    }),
  );

  test(
    'of an address with two names each is judged by its own rules',
    inLab((f) => {
      const { server } = addresses[f];
      use(rules(toApi));
      lab.track('coder', server, [api, blog]);
      assert.equal(claiming(f, api), 'pass');
      assert.equal(claiming(f, blog), 'no-rule');
      use(rules(deny({ web: ['blog'] }), toApi, toBlog));
      assert.equal(claiming(f, api), 'pass', 'the claimed name takes the other out');
      assert.equal(claiming(f, blog), 'rule-denies');
      use(rules(deny({ web: ['blog', 'api'] }), toApi, toBlog));
      assert.equal(refused(addresses[f].coder, server), 'rule-denies', 'whichever it will be');
    }),
  );

  test(
    'a claimed name that the address was not given for satisfies no permit, and the walk goes on',
    inLab((f) => {
      const { server } = addresses[f];
      const elsewhere = ip(f === 4 ? '93.184.216.99' : '2606:2800:220:1::99');
      use(rules(toApi, toBlog, deny({ web: ['bad'] })));
      lab.track('coder', server, [api]);
      lab.track('coder', elsewhere, [blog]);
      assert.equal(claiming(f, api), 'pass');
      assert.equal(claiming(f, blog), 'no-rule', 'the agent knows it, and not by this address');
      lab.classify(stranger);
      assert.equal(claiming(f, stranger), 'no-rule');
      use(rules(toApi, permit({ to: ['service'], ports: ['443'] })));
      assert.equal(claiming(f, stranger), 'pass', 'by the rule behind');
      use(rules(deny({ web: ['bad'] }), toApi, permit({ to: ['service'], ports: ['443'] })));
      lab.classify(name('www.evil.example'));
      assert.equal(claiming(f, 'www.evil.example'), 'rule-denies');
    }),
  );

  test(
    'a claimed name that cannot be read, or is not there, satisfies no permit by name',
    inLab((f) => {
      use(rules(toApi));
      lab.track('coder', addresses[f].server, [api]);
      assert.equal(claiming(f, '10.0.0.1'), 'name-unreadable');
      assert.equal(reasonOf(opened(f).say(clientHelloStream({}))), 'no-rule');
      const plain = opened(f);
      assert.equal(reasonOf(plain.say(new TextEncoder().encode('SSH-2.0-x\r\n'))), 'no-rule');
      const serverFirst = opened(f);
      assert.equal(serverFirst.answer(new TextEncoder().encode('220 ready\r\n')).outcome, 'dropped');
    }),
  );

  test(
    'a client that shows that it claims no name is permitted by any-web alone, at an address that it was given',
    inLab((f) => {
      const { server } = addresses[f];
      const silent = (): string => reasonOf(opened(f).say(clientHelloStream({})));
      use(
        rules(permit({ web: ['any-web'], ports: ['443'] }), permit({ to: ['service'], ports: ['443'], tls: 'absent' })),
      );
      assert.equal(silent(), 'no-rule');
      lab.track('coder', server, [blog]);
      assert.equal(silent(), 'rule');
      use(rules(toBlog, permit({ to: ['service'], ports: ['443'], tls: 'absent' })));
      assert.equal(silent(), 'no-rule');
    }),
  );

  test(
    'a second hello that the server asked for repeats the name that permitted the flow',
    inLab((f) => {
      const { server } = addresses[f];
      const second = (sni: string, between?: () => void): { readonly c: Connection; readonly sent: Sent } => {
        const c = opened(f);
        assert.equal(c.say(hello(api)).outcome, 'pass');
        assert.equal(c.answer(helloRetryRequest).outcome, 'none');
        between?.();
        return { c, sent: c.say(hello(sni)) };
      };
      use(rules(toApi, toBlog));
      lab.track('coder', server, [api, blog]);
      assert.equal(second(api).sent.outcome, 'pass');
      assert.equal(reasonOf(second(blog).sent), 'name-mismatch', 'though it alone would be permitted');
      // Permitted by an address, and then by the name of the first hello alone.
      const permitAll = rules(permit({ to: ['service'], ports: ['443'] }));
      use(permitAll);
      assert.equal(second(stranger).sent.outcome, 'pass', 'control');
      use(permitAll);
      const { c, sent } = second(stranger, () => use(rules(toApi)));
      assert.equal(sent.outcome, 'reject');
      assert.equal(reasonFromNumber(c.flow!.reason), 'name-mismatch');
    }),
  );

  test(
    'UDP and ICMP match no permit by `web`, and one by `hostname`',
    inLab((f) => {
      const { coder, server } = addresses[f];
      const udp = (): Sent => lab.fromAgent(udpFrame(ends(coder, server, 5000)));
      const ping = (): Sent => lab.fromAgent(echoFrame(coder, server, 'request', ++port));
      use(rules(permit({ web: ['api'], protocol: 'any' })));
      lab.track('coder', server, [api]);
      assert.equal(reasonOf(udp()), 'no-rule');
      assert.equal(reasonOf(ping()), 'no-rule');
      use(rules(permit({ to: ['named'], protocol: 'any' })));
      assert.equal(udp().outcome, 'pass');
      assert.equal(ping().outcome, 'pass');
      use(rules(deny({ web: ['api'], protocol: 'any' }), permit({ protocol: 'any' })));
      assert.equal(reasonOf(udp()), 'rule-denies');
      lab.track('coder', server, [blog]);
      assert.equal(udp().outcome, 'pass');
    }),
  );

  test(
    'what the agent resolves later does not change a live flow, and a new one begins with it',
    inLab((f) => {
      const { server } = addresses[f];
      use(rules(toApi, toBlog));
      lab.track('coder', server, [api]);
      const [waiting, living] = [opened(f), opened(f)];
      assert.equal(living.say(hello(api)).outcome, 'pass');
      living.answer(plainServerHello);
      const before = living.flow!.name;
      const set = lab.track('coder', server, [api, blog]);
      assert.ok(set >= firstSetId);
      assert.equal(opened(f).flow?.name, set);
      assert.equal(living.flow?.name, before);
      assert.equal(reasonOf(waiting.say(hello(blog))), 'no-rule', 'by what was known when it began');
      assert.equal(claiming(f, blog), 'pass', 'control');
      lab.track('coder', server, []);
      assert.equal(living.say(new Uint8Array(9)).outcome, 'pass');
      use(rules(toApi));
      assert.equal(living.say(new Uint8Array(9)).outcome, 'pass', 'judged again by the names it began with');
      use(rules(toBlog));
      living.say(new Uint8Array(9));
      assert.equal(living.flow?.state, flowState.denied);
      assert.equal(reasonFromNumber(living.flow!.reason), 'flow-cut');
      const held = lab.kernel.namesInUse();
      assert.ok(held.has(set) && held.has(before));
    }),
  );

  test(
    'nothing is translated: a SYN that is sent again is the same flow, and datagrams go on to the address as written',
    inLab((f) => {
      const { coder, server } = addresses[f];
      use(rules(permit({ to: ['named'], protocol: 'any' }), toApi));
      lab.track('coder', server, [api]);
      const c = new Connection(lab, ends(coder, server));
      const first = c.syn();
      const again = c.syn();
      assert.deepEqual([first.outcome, again.outcome], ['pass', 'pass']);
      assert.equal(again.mark & 0xff, 0, 'no path');
      assert.deepEqual(again.events, []);
      assert.equal(c.flow?.toDestination.packets, 2n);
      assert.deepEqual(c.flow?.real, server);
      const e = ends(coder, server, 5000);
      assert.equal(lab.fromAgent(udpFrame(e)).outcome, 'pass');
      assert.equal(lab.fromAgent(udpFrame(e)).outcome, 'pass');
      assert.equal(lab.flow(e, 'udp')?.toDestination.packets, 2n);
    }),
  );

  test(
    'an address of the pool stands for nothing',
    inLab((f) => {
      use(rules(permit({ to: ['service'] }), toApi));
      const { coder, server, pool } = addresses[f];
      lab.install(api, [pool], [server]);
      assert.equal(refused(coder, pool), 'address-unmapped');
    }),
  );
});
