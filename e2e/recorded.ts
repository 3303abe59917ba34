import type { AnyRecord } from '@cofferdam/flows';
import { type Attacker, eventually } from './attacker.ts';

/** What is left of an attack: what servers kept of it, and what the records of the run say. */

/** Where records are read: of a contained run, or of the gateway of a network. */
export interface Recording {
  readonly process: { readonly records: () => Promise<readonly AnyRecord[]> };
}

/** Reasons of the denials that match, in the order of their records; waits until there is one. */
export const denialsOf = async (
  agent: Recording,
  matches: (record: AnyRecord) => boolean,
): Promise<readonly string[]> => {
  let found: readonly string[] = [];
  await eventually('a record of a denial', async () => {
    found = (await agent.process.records())
      .filter((record) => record.verdict === 'deny' && matches(record))
      .map(({ reason }) => reason);
    return found.length > 0;
  });
  return found;
};

/** Flows from a port of the agent. */
export const fromPort =
  (port: number) =>
  (record: AnyRecord): boolean =>
    record.kind === 'flow' && record.source.port === port;

export interface Kept {
  readonly data: string;
  readonly end: string;
  readonly port: number;
}

/** Puts recorders of an attacker on each address and port. */
export const record = (server: Attacker, addresses: readonly string[], ports: readonly number[]): Promise<unknown> =>
  server.run(
    `
    for address in args['addresses']:
        for port in args['ports']: recorders[address, port] = Recorder(address, port)
    `,
    { addresses, ports },
  );

/** Connections that a recorder has had since the last call; with `keep`, the next call gives them too. */
export const arrivedAt = (server: Attacker) => {
  const taken = new Map<string, number>();
  return async (address: string, port: number, keep?: 'keep'): Promise<readonly Kept[]> => {
    const all = await server.run<Kept[]>(`result = recorders[args['address'], args['port']].seen()`, { address, port });
    const label = `${address} ${port}`;
    const fresh = all.slice(taken.get(label) ?? 0);
    if (keep !== 'keep') taken.set(label, all.length);
    return fresh;
  };
};
