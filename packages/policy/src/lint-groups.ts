import { isExactPattern } from '@cofferdam/net';
import type { Lint } from './lint.ts';
import { isLocalName } from './local-names.ts';
import { selectsWorkload } from './resolve.ts';
import { child } from './tree.ts';

export const lintGroups = (lint: Lint): void => {
  warnOfNobody(lint);
  warnOfSharedHosting(lint);
  warnOfLocalNames(lint);
};

/** Only where the set brings an inventory: otherwise a run or a gateway brings its own. */
const warnOfNobody = ({ policy, nodes, warnAt }: Lint): void => {
  if (policy.inventory.length === 0) return;
  for (const group of policy.smartGroups.values()) {
    const some = group.any.some(
      (selector) =>
        selector.kind !== 'workload' || policy.inventory.some((workload) => selectsWorkload(selector, workload)),
    );
    if (some) continue;
    const message = `the SmartGroup \`${group.name}\` matches no workload of the inventory`;
    const node = child(child(nodes.get(group), 'metadata'), 'name');
    if (node === undefined) continue;
    const help = 'correct a selector, or add the workload to the inventory';
    warnAt('group-matches-nothing', node, message, help);
  }
};

/** Such names never come to a permit: the gateway answers them itself, most of them with NXDOMAIN. */
const warnOfLocalNames = ({ policy, nodes, warnAt }: Lint): void => {
  for (const group of policy.webGroups.values()) {
    const list = child(child(nodes.get(group), 'spec'), 'domains');
    for (const [index, pattern] of group.domains.entries()) {
      const exact = isExactPattern(pattern);
      // The fixed part of `*.com` alone is no name yet.
      if (!isLocalName(exact || pattern.fixed.includes('.') ? pattern.fixed : `any.${pattern.fixed}`)) continue;
      const node = list?.kind === 'list' ? list.items[index] : undefined;
      if (node === undefined) continue;
      const why = exact && !pattern.fixed.includes('.') ? 'a name of one label' : 'a local name';
      const message = `\`${pattern.text}\` is never resolved: ${why} is answered by the gateway itself`;
      const help =
        'write the full name, such as `db.internal.example`; for a port of this machine see `run --host-port`';
      warnAt('name-answered-locally', node, message, help);
    }
  }
};

const warnOfSharedHosting = ({ policy, nodes, warnAt }: Lint): void => {
  for (const group of policy.webGroups.values()) {
    if (group.acknowledge.includes('shared-hosting')) continue;
    const spec = child(nodes.get(group), 'spec');
    for (const [key, patterns] of [
      ['domains', group.domains],
      ['urls', group.urls.map((url) => url.host)],
    ] as const) {
      const list = child(spec, key);
      for (const [index, pattern] of patterns.entries()) {
        if (!pattern.sharedHosting || isExactPattern(pattern)) continue;
        const node = list?.kind === 'list' ? list.items[index] : undefined;
        if (node === undefined) continue;
        const message = `anybody can get a name that matches \`${pattern.text}\`: \`${pattern.fixed}\` is shared hosting`;
        const help = 'name the hosts exactly, or write `acknowledge: [shared-hosting]`';
        warnAt('shared-hosting', node, message, help);
      }
    }
  }
};
