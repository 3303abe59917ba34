import type { AgentUse } from '@cofferdam/datapath';

/** Denials that the kernel did not tell of since the last look, by whose they were. */
export interface UntoldDenials {
  readonly since: (uses: Iterable<AgentUse>) => readonly { readonly use: AgentUse; readonly count: number }[];
}

/** The kernel only ever counts up. What it counted before the first look was an earlier process's to tell. */
export const createUntoldDenials = (before: Iterable<AgentUse>): UntoldDenials => {
  const keyOf = ({ ifindex, address }: AgentUse): string =>
    address === undefined ? `${ifindex}` : `${ifindex} ${address.family} ${address.value}`;
  const told = new Map([...before].map((use) => [keyOf(use), use.untold]));
  return {
    since: (uses) =>
      [...uses].flatMap((use) => {
        const count = use.untold - (told.get(keyOf(use)) ?? 0n);
        told.set(keyOf(use), use.untold);
        return count > 0n ? [{ use, count: Number(count) }] : [];
      }),
  };
};
