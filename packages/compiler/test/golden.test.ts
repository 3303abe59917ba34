import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CompileContext } from '@cofferdam/compiler';
import type { PolicySet } from '@cofferdam/policy';
import {
  address,
  coder,
  deny,
  name,
  permit,
  policyOf,
  ruleset,
  smartGroup,
  webGroup,
  workload,
} from '@cofferdam/testkit';
import { compiled } from './sample.ts';

/** Plans of small policies, kept whole: a change to the compiled form shows in review. `COFFERDAM_GOLDEN=write` writes them anew. */

const policies: Readonly<Record<string, { policy: PolicySet; context?: Partial<CompileContext> }>> = {
  empty: { policy: policyOf([]) },
  'web-permit': {
    policy: policyOf(
      [permit({ name: 'github', to: ['public-internet'], web: ['github'], ports: ['443'], tls: 'required' })],
      {
        web: [webGroup('github', ['api.github.com', '*.githubusercontent.com'])],
      },
    ),
  },
  'ports-and-quic': {
    policy: policyOf([
      deny({ name: 'no-mail', protocol: 'any', ports: ['25'] }),
      permit({ name: 'wide', protocol: 'any', ports: ['20-30', '400-500'] }),
      permit({ name: 'quic', protocol: 'udp', ports: ['443'] }),
      permit({ name: 'ping', protocol: 'icmp' }),
    ]),
  },
  'groups-and-containment': {
    policy: policyOf([], {
      inventory: [coder, workload('second', ['10.11.1.8'], { labels: { team: 'research' } })],
      smart: [
        smartGroup('coders', ['label:team=platform']),
        smartGroup('research', ['label:team=research'], 'monitor'),
        smartGroup('services', ['cidr:192.0.2.0/24', 'host:db.example', 'agent:second']),
        smartGroup('metadata', ['cidr:169.254.169.254/32']),
      ],
      rulesets: [
        ruleset([deny({ name: 'no-metadata', protocol: 'any', to: ['metadata'] })], 'guardrail', 'guard'),
        ruleset([permit({ name: 'services', from: ['coders', 'research'], to: ['services'] })], 'agent', 'agents'),
      ],
    }),
    context: { resolved: new Map([[name('db.example'), [address('198.51.100.7'), address('2606:4700::7')]]]) },
  },
  requests: {
    policy: policyOf(
      [
        permit({ name: 'read', web: ['api'], http: { methods: ['GET'], paths: ['/repos/**'] } }),
        permit({ name: 'tools', mcp: { tools: ['search'] }, mode: 'monitor' }),
        deny({ name: 'plain', web: ['any-web'], tls: 'absent' }),
        permit({ name: 'off', mode: 'disabled' }),
      ],
      { web: [webGroup('api', ['https://api.example.org/v1/**', 'api.example.org'])] },
    ),
  },
};

for (const [what, { policy, context }] of Object.entries(policies)) {
  test(`the plan of ${what}`, () => {
    const file = join(import.meta.dirname, 'golden', `${what}.json`);
    const plan: unknown = JSON.parse(JSON.stringify(compiled(policy, context).plan));
    if (process.env.COFFERDAM_GOLDEN === 'write') writeFileSync(file, `${JSON.stringify(plan, null, 2)}\n`);
    assert.deepEqual(plan, JSON.parse(readFileSync(file, 'utf8')));
  });
}
