/** The life of a flow in the kernel: replies, ICMP errors, counters, a full table, a plan that changes under it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventKind, flowState } from '@cofferdam/datapath';
import type { Address } from '@cofferdam/net';
import type { PolicySet } from '@cofferdam/policy';
import {
  agentMac,
  clientHelloStream,
  contextOf,
  deny,
  echoFrame,
  type Ends,
  gatewayMac,
  icmpFrame,
  address as ip,
  ipFrame,
  ipPacket,
  macBytes,
  name,
  permit,
  policyOf,
  reversed,
  ruleset,
  smartGroup,
  tcpFrame,
  tcpHeaderAndPayload,
  udpFrame,
  udpHeaderAndPayload,
  webGroup,
} from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import { Connection, type KernelLab, kernelUnavailable, loadedPlan, openKernelLab, plainServerHello } from './kernel-lab.ts';

const skip = kernelUnavailable();
const families = [4, 6] as const;
type Family = (typeof families)[number];
const agent = { 4: ip('10.11.1.7'), 6: ip('fd11::7') } as const;
const server = { 4: ip('93.184.216.34'), 6: ip('2606:2800:220:1::5') } as const;
const synthetic = { 4: ip('198.18.1.1'), 6: ip('fd00:cffd:1::1') } as const;
const router = { 4: ip('100.64.0.1'), 6: ip('2001:db8:ffff::1') } as const;

const smart = [smartGroup('server', ['cidr:93.184.216.34/32', 'cidr:2606:2800:220:1::5/128'])];
const web = [webGroup('api', ['api.example.com']), webGroup('bad', ['**.evil.example'])];
const rules = (...list: Parameters<typeof policyOf>[0]): PolicySet => policyOf(list, { smart, web });
const everything = rules(
  permit({ web: ['api'], ports: ['443'] }),
  permit({ to: ['server'], protocol: 'udp', ports: ['5000'] }),
  permit({ to: ['server'], protocol: 'icmp' }),
  permit({ to: ['server'], ports: ['22', '80'] }),
  permit({ to: ['server'], ports: ['8443'], tls: 'required' }),
);

let lab: KernelLab;
let port = 0;
const ends = (family: Family, destinationPort: number, destination: Address = server[family]): Ends => ({
  source: agent[family],
  destination,
  sourcePort: 1024 + (port = (port + 1) % 50_000),
  destinationPort,
});
const use = (policy: PolicySet, on = lab): void => on.apply(loadedPlan(policy, contextOf(policy)));
const opened = (family: Family, destinationPort: number, destination?: Address): Connection => {
  const connection = new Connection(lab, ends(family, destinationPort, destination));
  assert.equal(connection.open().outcome, 'pass');
  return connection;
};
const hello = clientHelloStream({ sni: 'api.example.com' });

/** An ICMP error of a kind, about a packet. */
const error = (from: Address, to: Address, inner: Uint8Array, kind: 'unreachable' | 'too big' | 'expired' = 'unreachable'): Uint8Array =>
  icmpFrame(from, to, {
    type: from.family === 4 ? { unreachable: 3, 'too big': 3, expired: 11 }[kind] : { unreachable: 1, 'too big': 2, expired: 3 }[kind],
    code: from.family === 4 && kind === 'too big' ? 4 : 0,
    payload: inner,
    source: gatewayMac,
    destination: gatewayMac,
  });
const udpInner = (e: Ends): Uint8Array => ipPacket(e.source, e.destination, 17, udpHeaderAndPayload(e));
const tcpInner = (e: Ends): Uint8Array => ipPacket(e.source, e.destination, 6, tcpHeaderAndPayload(e));

describe('flows', { skip }, () => {
  before(() => {
    lab = openKernelLab();
  });
  after(() => lab?.close());
  const inLab = (work: (family: Family) => void) => () =>
    lab.inside(() => {
      for (const family of families) {
        lab.forgetAll();
        use(everything);
        lab.install(name('api.example.com'), [synthetic[family]], [server[family]]);
        work(family);
      }
    });

  test(
    'replies find their flow, and get the hardware address of its agent',
    inLab((f) => {
      const e = ends(f, 5000);
      const reply = udpFrame(reversed(e), { source: gatewayMac, destination: gatewayMac });
      assert.equal(lab.toAgent(reply).outcome, 'dropped');
      assert.equal(lab.fromAgent(udpFrame(e)).outcome, 'pass');
      const sent = lab.toAgent(reply);
      assert.equal(sent.outcome, 'none');
      assert.deepEqual([...sent.packet.subarray(0, 6)], [...macBytes(agentMac)]);
      assert.equal(lab.toAgent(udpFrame({ ...reversed(e), sourcePort: 5001 })).outcome, 'dropped');
      assert.equal(lab.toAgent(reply, 'eth2').outcome, 'dropped');
      const flow = lab.flow(e, 'udp')!;
      assert.deepEqual([flow.toDestination.packets, flow.toAgent.packets], [1n, 1n]);
      const size = BigInt((f === 4 ? 20 : 40) + 8 + 4);
      assert.deepEqual([flow.toDestination.bytes, flow.toAgent.bytes], [size, size]);
      const echo = ends(f, 0);
      lab.fromAgent(echoFrame(echo.source, echo.destination, 'request', 77));
      assert.equal(lab.toAgent(echoFrame(echo.destination, echo.source, 'reply', 77)).outcome, 'none');
      assert.equal(lab.toAgent(echoFrame(echo.destination, echo.source, 'reply', 78)).outcome, 'dropped');
      assert.equal(lab.toAgent(echoFrame(echo.destination, echo.source, 'request', 77)).outcome, 'dropped');
    }),
  );

  test(
    'what comes for no flow is dropped, whatever it is',
    inLab((f) => {
      const e = reversed(ends(f, 22));
      for (const flags of ['S', 'SA', 'A', 'PA', 'R', 'F'])
        assert.equal(lab.toAgent(tcpFrame(e, { flags })).outcome, 'dropped', flags);
      assert.equal(lab.toAgent(ipFrame(server[f], agent[f], 47, new Uint8Array(20))).outcome, 'dropped');
      if (f === 4) assert.equal(lab.toAgent(ipFrame(server[4], agent[4], 17, new Uint8Array(20), { fragment: 5 })).outcome, 'dropped');
    }),
  );

  test(
    'a denied flow gets no replies',
    inLab((f) => {
      const c = opened(f, 443, synthetic[f]);
      assert.equal(c.sayAll(clientHelloStream({ sni: 'other.example' })).outcome, 'reject');
      assert.equal(c.answer(plainServerHello).outcome, 'dropped');
      assert.equal(c.say(hello).outcome, 'reject');
      assert.equal(c.agent({ flags: 'A', sequence: c.next }).outcome, 'reject');
      assert.equal(c.agent({ flags: 'R', sequence: c.next }).outcome, 'dropped');
      // The same ends may connect again.
      const again = new Connection(lab, c.ends, 99);
      assert.equal(again.open().outcome, 'pass');
      assert.equal(again.sayAll(hello).outcome, 'pass');
    }),
  );

  test(
    'server payload waits for the walk where a flow is undecided',
    inLab((f) => {
      const c = opened(f, 8443);
      assert.equal(c.flow?.state, flowState.pending);
      c.say(hello.subarray(0, 50));
      assert.equal(c.answer(new Uint8Array(9)).outcome, 'dropped');
      assert.equal(c.acknowledge().outcome, 'none');
      const d = opened(f, 8443);
      assert.equal(d.answer(new Uint8Array(9)).outcome, 'dropped');
      assert.equal(reasonFromNumber(d.flow!.reason), 'no-rule');
      const s = opened(f, 22);
      assert.equal(s.answer(new Uint8Array(9)).outcome, 'none');
      assert.equal(s.say(new Uint8Array(9)).outcome, 'pass');
      assert.equal(s.flow?.tls.state, 'absent');
    }),
  );

  test(
    'a repeated SYN passes and is told; another SYN on a live flow does not',
    inLab((f) => {
      const c = new Connection(lab, ends(f, 443, synthetic[f]));
      c.syn();
      const again = c.syn();
      assert.equal(again.outcome, 'pass');
      assert.equal(again.events[0]?.kind, eventKind.synUnanswered);
      c.synAck();
      assert.deepEqual(c.syn().events, []);
      assert.equal(c.syn({ sequence: 7 }).outcome, 'dropped');
      c.server({ flags: 'R', sequence: c.serverNext });
      assert.equal(c.syn({ sequence: 7 }).outcome, 'pass');
    }),
  );

  test(
    'ICMP errors toward the agent: only about its own live flows',
    inLab((f) => {
      const e = ends(f, 5000);
      assert.equal(lab.toAgent(error(router[f], agent[f], udpInner(e))).outcome, 'dropped');
      lab.fromAgent(udpFrame(e));
      for (const kind of ['unreachable', 'too big', 'expired'] as const)
        assert.equal(lab.toAgent(error(router[f], agent[f], udpInner(e), kind)).outcome, 'none', kind);
      assert.equal(lab.toAgent(error(router[f], agent[f], udpInner({ ...e, sourcePort: 9 }))).outcome, 'dropped');
      assert.equal(lab.toAgent(error(router[f], agent[f], udpInner(reversed(e)))).outcome, 'dropped');
      assert.equal(lab.toAgent(error(router[f], agent[f], udpInner(e).subarray(0, f === 4 ? 23 : 43))).outcome, 'dropped');
      const echo = ends(f, 0);
      lab.fromAgent(echoFrame(echo.source, echo.destination, 'request', 88));
      const inner = (identifier: number): Uint8Array => echoFrame(echo.source, echo.destination, 'request', identifier).subarray(14);
      assert.equal(lab.toAgent(error(router[f], agent[f], inner(88))).outcome, 'none');
      assert.equal(lab.toAgent(error(router[f], agent[f], inner(89))).outcome, 'dropped');
      const c = opened(f, 22);
      assert.equal(lab.toAgent(error(router[f], agent[f], tcpInner(c.ends))).outcome, 'none');
    }),
  );

  test(
    'ICMP errors of an agent: only about what its own permitted flows received',
    inLab((f) => {
      const e = ends(f, 5000);
      const own = (inner: Uint8Array, from: Address = agent[f]) => lab.fromAgent(error(from, server[f], inner)).outcome;
      // Errors are built with the gateway's hardware address, which inventory does not give here.
      assert.equal(own(udpInner(reversed(e))), 'dropped');
      lab.fromAgent(udpFrame(e));
      assert.equal(own(udpInner(reversed(e))), 'pass');
      assert.equal(own(udpInner(e)), 'dropped');
      assert.equal(own(udpInner({ ...reversed(e), destinationPort: 9 })), 'dropped');
      assert.equal(own(udpInner(reversed(e)), ip(f === 4 ? '10.11.1.99' : 'fd11::99')), 'dropped');
      assert.equal(own(ipPacket(server[f], agent[f], 47, new Uint8Array(20))), 'dropped');
      if (f === 4)
        assert.equal(own(ipPacket(server[4], agent[4], 17, udpHeaderAndPayload(reversed(e)), { fragment: 9 })), 'dropped');
      const waiting = opened(f, 8443);
      assert.equal(own(tcpInner(reversed(waiting.ends))), 'dropped', 'nothing but the hello of a pending flow');
      const proxied = ends(f, 80);
      assert.equal(lab.fromAgent(tcpFrame(proxied, { flags: 'S' })).outcome, 'proxy');
      assert.equal(own(tcpInner(reversed(proxied))), 'dropped');
    }),
  );

  test(
    'a proxied flow is the gateway’s: its own packets pass to the agent, forwarded ones do not',
    inLab((f) => {
      const e = ends(f, 80);
      assert.equal(lab.fromAgent(tcpFrame(e, { flags: 'S' })).outcome, 'proxy');
      assert.equal(lab.toAgent(tcpFrame(reversed(e), { flags: 'SA' }), 'eth1', true).outcome, 'none');
      assert.equal(lab.toAgent(tcpFrame(reversed(e), { flags: 'SA' })).outcome, 'dropped');
      assert.equal(lab.fromAgent(tcpFrame(e, { flags: 'PA', payload: new Uint8Array(40) })).outcome, 'proxy');
    }),
  );

  test('rule hits: permitted, denied, would deny, and the default', () =>
    lab.inside(() => {
      lab.forgetAll();
      use(
        rules(
          permit({ to: ['server'], ports: ['22'] }),
          { ...deny({ to: ['server'], ports: ['22'] }), mode: 'monitor' },
          permit({ to: ['server'], ports: ['8443'], tls: 'required' }),
        ),
      );
      const before = { permit: lab.hits(0), waits: lab.hits(2), last: lab.hits('default') };
      opened(4, 22);
      opened(6, 22);
      lab.fromAgent(tcpFrame(ends(4, 23), { flags: 'S' }));
      const c = opened(4, 8443);
      assert.equal(lab.hits(2).permitted, before.waits.permitted);
      c.say(hello);
      assert.equal(lab.hits(0).permitted - before.permit.permitted, 2n);
      assert.equal(lab.hits('default').denied - before.last.denied, 1n);
      assert.equal(lab.hits(2).permitted - before.waits.permitted, 1n);
      use({ ...rules(), rulesets: [ruleset([{ ...deny({ ports: ['22'] }), mode: 'monitor' }, permit({ ports: ['22'] })])] });
      const then = lab.hits(1);
      opened(4, 22);
      assert.equal(lab.hits(1).wouldDeny - then.wouldDeny, 1n);
    }));

  test('a full table denies, and live flows stay', () => {
    const small = openKernelLab({ flows: 8 });
    try {
      small.inside(() => {
        use(everything, small);
        const sent = Array.from({ length: 200 }, () => small.fromAgent(udpFrame(ends(4, 5000))));
        const full = sent.filter(({ outcome }) => outcome === 'reject');
        assert.ok(full.length > 100, `${full.length} denied`);
        for (const { events } of full) assert.equal(reasonFromNumber(events[0]!.flow.reason), 'flow-table-full');
        const flows = [...small.kernel.flows()];
        assert.ok(flows.length >= 8);
        small.kernel.forget(flows[0]!.key);
        assert.equal(small.fromAgent(udpFrame(ends(4, 5000))).outcome, 'pass');
      });
    } finally {
      small.close();
    }
  });

  test('without a plan everything is closed', () => {
    const bare = openKernelLab();
    try {
      bare.inside(() => {
        for (const f of families) {
          assert.equal(bare.fromAgent(tcpFrame(ends(f, 22), { flags: 'S' })).outcome, 'reject');
          assert.equal(bare.fromAgent(udpFrame(ends(f, 53))).outcome, 'reject');
          assert.equal(bare.fromAgent(echoFrame(agent[f], server[f], 'request', 1)).outcome, 'reject');
          assert.equal(bare.toAgent(udpFrame(reversed(ends(f, 5000)))).outcome, 'dropped');
        }
        assert.equal(bare.fromAgent(ipFrame(agent[4], server[4], 17, new Uint8Array(20), { fragment: 5 })).outcome, 'dropped');
      });
    } finally {
      bare.close();
    }
  });

  test(
    'a new plan: flows it permits go on, the others are cut both ways and told once',
    inLab((f) => {
      const [kept, cut] = [opened(f, 22), opened(f, 443, synthetic[f])];
      cut.sayAll(hello);
      cut.answer(plainServerHello);
      const datagrams = ends(f, 5000);
      lab.fromAgent(udpFrame(datagrams));
      use(rules(deny({ protocol: 'any', ports: ['1-9'] }), permit({ to: ['server'], ports: ['22'] })));
      assert.equal(kept.agent({ flags: 'A', sequence: kept.next }).outcome, 'pass');
      assert.equal(kept.flow?.rule, 1);
      const sent = cut.say(new Uint8Array(5));
      assert.equal(sent.outcome, 'reject');
      assert.equal(reasonFromNumber(sent.events[0]!.flow.reason), 'flow-cut');
      assert.deepEqual(cut.say(new Uint8Array(5)).events, []);
      const reply = lab.toAgent(udpFrame(reversed(datagrams)));
      assert.equal(reply.outcome, 'dropped');
      assert.equal(reasonFromNumber(reply.events[0]!.flow.reason), 'flow-cut');
      assert.equal(lab.fromAgent(udpFrame(datagrams)).outcome, 'reject');
    }),
  );

  test(
    'a new plan that asks for facts: still to come they are waited for, never recorded they cut',
    inLab((f) => {
      const asks = rules(permit({ to: ['server'], ports: ['22', '8443'], tls: 'absent' }), permit({ web: ['api'], ports: ['443'] }));
      const [fresh, spoken, unread] = [opened(f, 22), opened(f, 22), opened(f, 22)];
      spoken.say(Uint8Array.from('SSH-2.0\r\n', (c) => c.charCodeAt(0)));
      unread.say(hello.subarray(100), 100); // out of order: nothing denies by it, so the reading ended
      assert.equal(unread.flow?.state, flowState.permitted);
      const waiting = opened(f, 8443);
      use(asks);
      assert.equal(fresh.agent({ flags: 'A', sequence: fresh.next }).outcome, 'pass');
      assert.equal(fresh.flow?.state, flowState.pending);
      assert.equal(fresh.say(hello).outcome, 'reject');
      assert.equal(spoken.say(new Uint8Array(3)).outcome, 'pass');
      assert.equal(unread.say(new Uint8Array(3)).outcome, 'reject');
      assert.equal(reasonFromNumber(unread.flow!.reason), 'facts-unknown');
      assert.equal(waiting.say(hello).outcome, 'reject');
    }),
  );

  test(
    'names that were known are known to the next plan before it counts',
    inLab((f) => {
      const c = opened(f, 443, synthetic[f]);
      use(rules(deny({ to: ['server'], web: ['bad'] }), permit({ web: ['api'], ports: ['443'] })));
      assert.equal(c.sayAll(hello).outcome, 'pass');
      use(rules(deny({ web: ['api'] }), permit()));
      assert.equal(c.say(new Uint8Array(3), hello.length).outcome, 'reject');
      assert.equal(new Connection(lab, ends(f, 443, synthetic[f])).open().outcome, 'reject');
    }),
  );

  test('a name that no rule was asked about is asked about by an exact deny too', () =>
    lab.inside(() => {
      lab.forgetAll();
      const policy = policyOf([deny({ web: ['one'] }), permit()], { web: [webGroup('one', ['one.evil.example'])] });
      use(policy);
      const c = opened(4, 22);
      const bytes = clientHelloStream({ sni: 'one.evil.example' });
      const missed = c.say(bytes);
      assert.equal(missed.outcome, 'dropped');
      assert.deepEqual(missed.events.map(({ kind, name: said }) => [kind, said]), [[eventKind.nameMiss, 'one.evil.example']]);
      lab.classify(name('one.evil.example'));
      assert.equal(c.say(bytes, 0).outcome, 'reject');
      assert.equal(reasonFromNumber(c.flow!.reason), 'rule-denies');
    }));
});
