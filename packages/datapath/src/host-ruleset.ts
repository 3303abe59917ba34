/**
 * What a run adds to its host's netfilter, as text for nft: one table of its own, named after the run, and an accept at the
 * head of other tables' forward chains, tagged with the run so that it can be found and taken away. Pure text and JSON: what names
 * others' tables is JSON, since their names may be words of nft's own language.
 */

export const tablePrefix = 'cofferdam_';
export const tableOf = (run: string): string => `${tablePrefix}${run}`;
const tagOf = (run: string): string => `cofferdam:${run}`;

export interface HostRuleset {
  readonly run: string;
  /** The host's end of the uplink. */
  readonly link: string;
  readonly gateway4: string;
  readonly gateway6: string;
  /** The host's addresses when the run begins, on which the plan has decided; those that come later are not reached. */
  readonly host4: readonly string[];
  readonly host6: readonly string[];
  /** What the run sends leaves by this interface alone. Absent: by those that the host's routes say. */
  readonly upstream?: string;
}

const onlyBy = (link: string, upstream: string | undefined): string =>
  upstream === undefined ? '' : `iifname "${link}" oifname != "${upstream}" reject with icmpx type admin-prohibited`;

const acceptTo = (family: 'ip' | 'ip6', from: string, addresses: readonly string[]): string =>
  addresses.length === 0 ? '' : `${family} saddr ${from} ${family} daddr { ${addresses.join(', ')} } accept`;

/**
 * Masquerades what the run sends, and lets nothing begin a connection towards it. What connection tracking did not take for part of a
 * flow has not been translated: it neither leaves under an address of the run's inside nor reaches the host itself.
 */
export const hostRuleset = (r: HostRuleset): string => `
table inet ${tableOf(r.run)} {
  chain forward {
    type filter hook forward priority filter - 1; policy accept;
    ${onlyBy(r.link, r.upstream)}
    iifname "${r.link}" ip saddr ${r.gateway4} accept
    iifname "${r.link}" ip6 saddr ${r.gateway6} accept
    iifname "${r.link}" drop
    oifname "${r.link}" ct state established,related accept
    oifname "${r.link}" drop
  }

  chain input {
    type filter hook input priority filter - 1; policy accept;
    iifname != "${r.link}" accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    ${acceptTo('ip', r.gateway4, r.host4)}
    ${acceptTo('ip6', r.gateway6, r.host6)}
    drop
  }

  chain translate_out {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${r.gateway4} oifname != "${r.link}" masquerade
    ip6 saddr ${r.gateway6} oifname != "${r.link}" masquerade
  }
}
`;

/** The table that keeps a host which was no router from becoming one: only what runs send is forwarded. */
export const guardTable = 'cofferdam_guard';

/** `links`: name pattern of every run's link. */
export const guardRuleset = (links: string): string => `
table inet ${guardTable} {
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "${links}" accept
    oifname "${links}" accept
  }
}
`;

const advertisedSet = 'accept_ra_was_1';

/** Commands that write down in the guard table which interfaces have to take router advertisements again as they did. */
export const rememberAdvertised = (interfaces: readonly string[]): readonly object[] => {
  const set = { family: 'inet', table: guardTable, name: advertisedSet };
  return [
    { add: { set: { ...set, type: 'ifname' } } },
    ...(interfaces.length === 0 ? [] : [{ add: { element: { ...set, elem: interfaces } } }]),
  ];
};

/** What was written down. `listing`: the JSON of `list ruleset`. */
export const rememberedAdvertised = (listing: unknown): readonly string[] =>
  listed<{ table: string; name: string; elem?: readonly string[] }>(listing, 'set')
    .filter(({ table, name }) => table === guardTable && name === advertisedSet)
    .flatMap(({ elem }) => elem ?? []);

interface ListedChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
}

interface ListedRule extends ListedChain {
  readonly chain: string;
  readonly handle: number;
  readonly comment?: string;
}

const listed = <T>(listing: unknown, kind: string): T[] => {
  const items = (listing as { nftables?: unknown[] } | undefined)?.nftables ?? [];
  return items.flatMap((item) => {
    const found = (item as Record<string, unknown>)[kind];
    return found === undefined ? [] : [found as T];
  });
};

const match = (op: string, left: object, right: unknown): object => ({ match: { op, left, right } });

/**
 * Commands that insert our accept into every forward chain of other tables: another table's verdict to drop would stand,
 * whatever ours says. `listing`: the JSON of `list chains`.
 */
export const acceptInForeignChains = (listing: unknown, run: string, link: string): readonly object[] =>
  listed<ListedChain>(listing, 'chain')
    .filter(({ hook, table }) => hook === 'forward' && !table.startsWith(tablePrefix))
    .filter(({ family }) => family === 'ip' || family === 'ip6' || family === 'inet')
    .flatMap(({ family, table, name }) =>
      ['iifname', 'oifname'].map((side) => {
        const replies = side === 'oifname' ? [match('in', { ct: { key: 'state' } }, ['established', 'related'])] : [];
        const expr = [match('==', { meta: { key: side } }, link), ...replies, { accept: null }];
        return { insert: { rule: { family, table, chain: name, comment: tagOf(run), expr } } };
      }),
    );

/** Commands that take away every rule tagged with the run. `listing`: the JSON of `list ruleset`. */
export const removeTagged = (listing: unknown, run: string): readonly object[] =>
  listed<ListedRule>(listing, 'rule')
    .filter(({ comment }) => comment === tagOf(run))
    .map(({ family, table, chain, handle }) => ({ delete: { rule: { family, table, chain, handle } } }));

/** Takes away the run's own table. */
export const removeTable = (run: string): object => ({ delete: { table: { family: 'inet', name: tableOf(run) } } });

/** Runs that have left something in the host's netfilter: by their tables and by their tags. `listing`: the JSON of `list ruleset`. */
export const runsIn = (listing: unknown): readonly string[] => {
  const tables = listed<{ name: string }>(listing, 'table')
    .filter(({ name }) => name.startsWith(tablePrefix) && name !== guardTable)
    .map(({ name }) => name.slice(tablePrefix.length));
  const tags = listed<ListedRule>(listing, 'rule').flatMap(({ comment }) =>
    comment?.startsWith('cofferdam:') ? [comment.slice('cofferdam:'.length)] : [],
  );
  return [...new Set([...tables, ...tags])];
};
