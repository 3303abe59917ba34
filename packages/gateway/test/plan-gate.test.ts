import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { compile } from '@cofferdam/compiler';
import { loadPlan } from '@cofferdam/plan';
import { parsePolicy } from '@cofferdam/policy';
import { clientHelloStream } from '@cofferdam/testkit';
import { type Gate, planGate } from '../src/index.ts';
import { address, name } from './fakes.ts';
import { type Conversation, converse, type Lab, lab, loopbackBinding, until } from './proxy-lab.ts';

const policy = `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { containment: enforce, any: [{ agent: coder }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: watched }
spec: { containment: monitor, any: [{ agent: newcomer }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: database }
spec: { any: [{ hostname: db.internal.example }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: api }
spec: { domains: [api.example.com, "*.wild.example.com", "**.example.com"] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: soon }
spec: { domains: [soon.example] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: coding-agent }
spec:
  rules:
    - { name: no-deletes, action: deny, from: [agents], to: [public-internet], protocol: tcp, http: { methods: [DELETE] } }
    - { name: repos, action: permit, from: [agents], to: [public-internet], web: [api], protocol: tcp, http: { paths: ["/repos/**"] } }
    - { name: status, action: permit, from: [agents], to: [database], protocol: tcp, ports: [5432] }
    - { name: later, action: permit, mode: monitor, from: [agents, watched], to: [public-internet], web: [soon], protocol: tcp }
---
apiVersion: cofferdam.dev/v1
kind: Inventory
metadata: { name: here }
spec:
  workloads:
    - { name: coder, addresses: [127.0.0.1], labels: { team: platform } }
    - { name: newcomer, addresses: [10.0.0.9] }
`;

const gateOf = (text: string): Gate => {
  const parsed = parsePolicy([{ file: 'test.yaml', text }]);
  assert.ok(parsed.policy, JSON.stringify(parsed.diagnostics));
  const { plan } = compile(parsed.policy, {
    workloads: parsed.policy.inventory,
    resolved: new Map(),
    dnsMode: 'synthetic',
    gatewayAddresses: [],
    monitor: false,
    at: Date.now(),
    revision: 5,
    digest: (t) => createHash('sha256').update(t).digest('hex'),
  });
  return planGate(loadPlan(plan), 'abc123');
};

describe('a gate made of a compiled plan', () => {
  const gate = gateOf(policy);
  const coder = gate.agentAt(address('127.0.0.1'), 'lo')!;
  const newcomer = gate.agentAt(address('10.0.0.9'), 'lo')!;
  const now = Date.now();

  test('agents by their address, with their labels', () => {
    assert.deepEqual([coder.name, coder.identity.labels, coder.monitored], ['coder', { team: 'platform' }, false]);
    assert.equal(newcomer.monitored, true);
    assert.equal(gate.agentAt(address('127.0.0.2'), 'lo'), undefined);
  });

  for (const [what, agent, asked, expected] of [
    ['written out', coder, 'api.example.com', { kind: 'exact' }],
    ['a hostname of a group', coder, 'db.internal.example', { kind: 'exact' }],
    [
      'below two patterns: the wider budget counts',
      coder,
      'x.wild.example.com',
      { kind: 'wildcard', suffix: 'example.com' },
    ],
    ['permitted by nobody', coder, 'evil.example', { kind: 'none' }],
    ['of a monitored agent', newcomer, 'evil.example', { kind: 'lifted' }],
    ['that a monitored rule permits a monitored agent', newcomer, 'soon.example', { kind: 'exact' }],
    ['that a monitored rule permits another', coder, 'soon.example', { kind: 'none' }],
  ] as const) {
    test(`a name ${what}`, () => assert.deepEqual(gate.grantOf(agent, name(asked), now), expected));
  }

  test('addresses are used only where one permit covers name and address', () => {
    const usable = (text: string) => gate.usableAddress(coder, name('api.example.com'), address(text), now);
    assert.deepEqual(['93.184.216.34', '10.0.0.7', '127.0.0.1', '169.254.169.254'].map(usable), [
      true,
      false,
      false,
      false,
    ]);
  });

  test('rules by their place', () => {
    assert.deepEqual(gate.rule(1)?.reference, { index: 1, name: 'repos', ruleset: 'coding-agent', tier: 'agent' });
    assert.deepEqual(
      [gate.rule(1)?.readsRequests, gate.rule(2)?.readsRequests, gate.rule('default')],
      [true, false, undefined],
    );
  });

  describe('in front of a server', () => {
    let one: Lab;
    const upstream = createServer((request, response) => response.end(`you asked for ${request.url}`));

    before(async () => {
      const port = await new Promise<number>((resolve) => {
        upstream.listen(0, '127.0.0.1', () => resolve((upstream.address() as { port: number }).port));
      });
      const binding = { ...loopbackBinding, addresses: ['10.0.0.7', '93.184.216.34'].map(address) };
      one = await lab(port, gate, { binding });
    });
    after(async () => {
      await one.close();
      upstream.closeAllConnections();
      upstream.close();
    });

    const send = async (text: string | Buffer): Promise<Conversation & { verdict: string }> => {
      const before = one.records.length;
      const conversation = await converse(one.port, [
        typeof text === 'string' ? text.replaceAll('HOST', `api.example.com:${one.port}`) : text,
      ]);
      await until(() => one.records.slice(before).some((r) => r.kind === 'flow' && r.end !== undefined));
      const record = one.records.slice(before).find((r) => r.kind === 'flow' && r.end !== undefined)!;
      return {
        ...conversation,
        verdict: `${record.verdict} ${record.reason} ${record.rule?.name ?? 'default'} ${record.stage}`,
      };
    };

    for (const [what, text, received, verdict] of [
      [
        'a path that the rule names',
        'GET /repos/a HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n',
        /asked for \/repos\/a/,
        'permit rule repos request',
      ],
      ['another path', 'GET /admin HTTP/1.1\r\nHost: HOST\r\n\r\n', /403/, 'deny no-rule default request'],
      [
        'a method that a rule denies',
        'DELETE /repos/a HTTP/1.1\r\nHost: HOST\r\n\r\n',
        /"rule":"no-deletes"/,
        'deny rule-denies no-deletes request',
      ],
      [
        'another host',
        'GET /repos/a HTTP/1.1\r\nHost: evil.example\r\n\r\n',
        /name-mismatch/,
        'deny name-mismatch repos name',
      ],
      [
        'a request only a lax server reads',
        'GET /repos/a HTTP/1.1\nHost: HOST\n\n',
        /403[\s\S]*"code":"request-unreadable"/,
        'deny request-unreadable no-deletes request',
      ],
      [
        'bytes that can begin no request: a denial of requests matches them',
        '\u0000\u0001',
        /^$/,
        'deny rule-denies no-deletes request',
      ],
      [
        'TLS, which is not opened here',
        Buffer.from(clientHelloStream({ sni: 'api.example.com' })),
        /^$/,
        'deny would-need-opening no-deletes name',
      ],
    ] as const) {
      test(what, async () => {
        const result = await send(text);
        assert.match(result.received, received);
        assert.equal(result.verdict, verdict);
      });
    }

    test('the private address among the answers is never dialled', () => {
      assert.deepEqual(new Set(one.dialled), new Set([34]));
      assert.equal(
        one.records.every((r) => r.revision === 5 && r.commit === 'abc123'),
        true,
      );
    });
  });
});
