import { formatAddress } from '@cofferdam/net';
import type { Problems } from './diagnostic.ts';
import { type Draft, showPlace } from './draft.ts';
import { builtInSmartGroups, builtInWebGroups, type Workload } from './model.ts';
import { suggestion } from './suggest.ts';
import { child } from './tree.ts';

/** What can only be judged when every file was read. `complete`: no name that a file defines can be missing. */
export const validateSet = (draft: Draft, complete: boolean, problems: Problems): void => {
  reportDuplicates(draft, problems);
  reportSharedAddresses(draft, problems);
  if (complete) reportUnknownGroups(draft, problems);
  reportUnreadUrls(draft, problems);
};

const reportDuplicates = (draft: Draft, problems: Problems): void => {
  const first = new Map<string, string>();
  for (const { key, what, name, node } of draft.definitions) {
    const place = first.get(key);
    if (place === undefined) {
      first.set(key, showPlace(node));
      continue;
    }
    const code = what === 'id' ? 'duplicate-id' : 'duplicate-name';
    problems.report(
      code,
      node,
      `${what} \`${name}\` is defined twice`,
      `it is defined at ${place} too; rename one of the two`,
    );
  }
};

/** An agent is known by address and interface: behind one interface an address belongs to one workload. */
const reportSharedAddresses = (draft: Draft, problems: Problems): void => {
  const holders = new Map<string, Workload[]>();
  for (const workload of draft.inventory) {
    for (const [index, address] of workload.addresses.entries()) {
      const shown = formatAddress(address);
      const others = holders.get(shown) ?? [];
      const other = others.find(
        (each) =>
          each.interface === undefined || workload.interface === undefined || each.interface === workload.interface,
      );
      if (other !== undefined && other !== workload) {
        const list = child(draft.nodes.get(workload), 'addresses');
        const node = (list?.kind === 'list' ? list.items[index] : undefined) ?? draft.nodes.get(workload)!;
        const message = `\`${shown}\` belongs to the workload \`${other.name}\` already`;
        problems.report('duplicate-address', node, message, 'correct the address, or name different interfaces');
      }
      holders.set(shown, [...others, workload]);
    }
  }
};

const reportUnknownGroups = (draft: Draft, problems: Problems): void => {
  const known = {
    SmartGroup: new Set<string>([...draft.smartGroupNames, ...builtInSmartGroups]),
    WebGroup: new Set<string>([...draft.webGroupNames, ...builtInWebGroups]),
  };
  for (const { sort, name, node } of draft.references) {
    if (known[sort].has(name)) continue;
    const other = sort === 'SmartGroup' ? 'WebGroup' : 'SmartGroup';
    problems.report('unknown-group', node, `no ${sort} is named \`${name.slice(0, 100)}\``, () => {
      if (known[other].has(name)) {
        return `\`${name}\` is a ${other}: it goes into ${other === 'WebGroup' ? '`web`' : '`from` or `to`'}`;
      }
      return suggestion(name, [...known[sort]]);
    });
  }
};

/** URLs inside TLS are read like `http`: where TLS may not be opened they can never match (DESIGN 3.3). */
const reportUnreadUrls = (draft: Draft, problems: Problems): void => {
  for (const { rules } of draft.rulesets) {
    for (const rule of rules) {
      if (rule.decrypt !== 'not-allowed' || rule.tls !== 'required') continue;
      const unread = rule.web?.find((name) => (draft.webGroups.get(name)?.urls.length ?? 0) > 0);
      if (unread === undefined) continue;
      const node = child(draft.nodes.get(rule), 'web') ?? draft.nodes.get(rule)!;
      const message = `\`${unread}\` has URLs, which are read inside TLS, and \`decrypt: not-allowed\` forbids that`;
      problems.report('request-needs-opening', node, message, 'write `decrypt: allowed`, or match by `domains` alone');
    }
  }
};
