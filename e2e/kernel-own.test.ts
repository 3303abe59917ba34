/** Own mode in the kernel: where a rule with `web` leads is not known before the name is, and until then nothing leaves. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { flowState } from '@cofferdam/datapath';
import type { Address } from '@cofferdam/net';
import type { PolicySet } from '@cofferdam/policy';
import { clientHelloStream, contextOf, deny, name, permit, policyOf, smartGroup, udpFrame } from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import {
  ends,
  families,
  smart as groups,
  lab,
  labForTests,
  rules,
  server,
  synthetic,
  web,
} from './kernel-flow-world.ts';
import { Connection, kernelUnavailable, loadedPlan, type Sent } from './kernel-lab.ts';

type Family = (typeof families)[number];
const useOwn = (policy: PolicySet): void => lab.apply(loadedPlan(policy, contextOf(policy, { dnsMode: 'own' })));
const begun = (
  family: Family,
  port: number,
  destination?: Address,
): { readonly c: Connection; readonly sent: Sent } => {
  const c = new Connection(lab, ends(family, port, destination));
  return { c, sent: c.syn() };
};
const reasonOf = ({ events }: Sent): string => reasonFromNumber(events[0]?.flow.reason ?? 0);
const inLab = (work: (family: Family) => void) => (): void =>
  lab.inside(() => {
    for (const family of families) {
      lab.forgetAll();
      work(family);
    }
  });

describe('own mode', { skip: kernelUnavailable() }, () => {
  labForTests();

  test(
    'a SYN to anywhere goes to the proxy where a rule with `web` may match, whatever its `to`',
    inLab((f) => {
      for (const policy of [
        rules(permit({ web: ['api'], ports: ['443'] })),
        rules(permit({ web: ['api'], to: ['server'], ports: ['443'] })),
        rules(deny({ web: ['bad'] }), permit({ to: ['server'] })),
      ]) {
        useOwn(policy);
        const { c, sent } = begun(f, 443);
        assert.equal(sent.outcome, 'proxy');
        assert.equal(c.flow?.state, flowState.proxied);
        assert.equal(c.flow?.name, 0);
        assert.equal(c.agent({ flags: 'A', sequence: c.next, acknowledgement: c.serverNext }).outcome, 'proxy');
        assert.equal(c.say(clientHelloStream({ sni: 'api.example.com' })).outcome, 'proxy', 'nothing is forwarded');
        assert.equal(c.server({ flags: 'SA', sequence: 1, acknowledgement: c.base }).outcome, 'dropped');
      }
      useOwn(rules(permit({ web: ['api'], to: ['server'], ports: ['443'] })));
      const far = f === 4 ? { family: f, value: 0x2d535a0an } : { family: f, value: 0x2a00n << 112n };
      assert.equal(begun(f, 443, far).sent.outcome, 'proxy', 'no address contradicts it yet');
    }),
  );

  test(
    'where none may, the address as written decides at once',
    inLab((f) => {
      useOwn(rules(permit({ web: ['api'], ports: ['443'] }), permit({ to: ['server'], ports: ['22'] })));
      const { sent, c } = begun(f, 22);
      assert.equal(sent.outcome, 'pass');
      assert.equal(c.flow?.state, flowState.binding);
      assert.equal(reasonOf(begun(f, 23).sent), 'no-rule');
      const metadata =
        f === 4 ? { family: f, value: 0xa9fea9fen } : { family: f, value: (0xfd00_0ec2n << 96n) | 0x254n };
      assert.equal(begun(f, 22, metadata).sent.outcome, 'reject');
      useOwn(rules(permit({ to: ['server'] }), permit({ web: ['api'] })));
      assert.equal(begun(f, 443).sent.outcome, 'pass', 'a rule ahead of it decides');
    }),
  );

  test(
    'a deny by name alone permits nothing, and is no way to the proxy',
    inLab((f) => {
      useOwn(rules(deny({ web: ['bad'] })));
      assert.equal(reasonOf(begun(f, 443).sent), 'no-permit-reachable');
    }),
  );

  test(
    'UDP claims no name, and an address has none',
    inLab((f) => {
      useOwn(rules(permit({ web: ['api'], protocol: 'udp', ports: ['5000'] })));
      assert.equal(reasonOf(lab.fromAgent(udpFrame(ends(f, 5000)))), 'no-rule');
      useOwn(rules(permit({ to: ['server'], protocol: 'udp', ports: ['5000'] })));
      assert.equal(lab.fromAgent(udpFrame(ends(f, 5000))).outcome, 'pass');
    }),
  );

  test(
    'an address of the pool stands for nothing',
    inLab((f) => {
      useOwn(rules(permit({ web: ['api'], ports: ['443'] }), permit({ to: ['server'] })));
      lab.install(name('api.example.com'), [synthetic[f]], [server[f]]);
      assert.equal(reasonOf(begun(f, 443, synthetic[f]).sent), 'address-unmapped');
    }),
  );

  test(
    'a flow on the kernel path that a new plan would ask for a name is decided by what its client says',
    inLab((f) => {
      const plain = rules(permit({ to: ['server'] }));
      const named = rules(deny({ web: ['bad'] }), permit({ to: ['server'] }));
      const sayAfterChange = (sni: string): Sent => {
        useOwn(plain);
        const { c } = begun(f, 443);
        c.synAck();
        useOwn(named);
        lab.classify(name(sni));
        return c.say(clientHelloStream({ sni }));
      };
      assert.equal(sayAfterChange('fine.example').outcome, 'pass');
      const sent = sayAfterChange('www.evil.example');
      assert.equal(sent.outcome, 'reject');
      assert.equal(reasonOf(sent), 'rule-denies');
    }),
  );

  test(
    'what such a flow cannot be read for denies it, but not where it is monitored',
    inLab((f) => {
      const sayAfterChange = (mode: 'enforce' | 'monitor'): Sent => {
        const smart = [smartGroup('all', ['cidr:10.11.0.0/16', 'cidr:fd11::/64'], mode), ...groups];
        const policy = (...list: Parameters<typeof policyOf>[0]): PolicySet => policyOf(list, { smart, web });
        useOwn(policy(permit({ to: ['server'] })));
        const { c } = begun(f, 443);
        c.synAck();
        useOwn(policy(permit({ web: ['api'], ports: ['443'] })));
        return c.say(clientHelloStream({ sni: '10.0.0.1' }));
      };
      assert.equal(reasonOf(sayAfterChange('enforce')), 'name-unreadable');
      const lifted = sayAfterChange('monitor');
      assert.equal(lifted.outcome, 'pass');
      assert.equal(reasonOf(lifted), 'monitored');
    }),
  );
});
