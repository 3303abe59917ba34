import { getCACertificates } from 'node:tls';
import { createAuthority, createLeafs, readAuthority } from '@cofferdam/certificates';
import { createTlsOpener, type TlsOpener } from '@cofferdam/gateway';
import type { LoadedPlan, PlanRule } from '@cofferdam/plan';

/** What a run opens TLS with. */
export interface Opening {
  readonly opener: TlsOpener;
  /** PEM of the authority that the command has to trust. */
  readonly authority: string;
}

/** Milliseconds: as long as a client may take for its hello. */
const handshakeTimeout = 10_000;
/** Leafs kept: names that one command asks for again. */
const kept = 1000;

/** A rule for which TLS is opened where a flow meets it. */
const opens = ({ mode, decrypt, tls, http, mcp, web }: PlanRule): boolean => {
  if (mode !== 'enforce' || decrypt === 'not-allowed' || tls === 'absent') return false;
  return decrypt === 'allowed' || http !== undefined || mcp !== undefined || (web?.urls.length ?? 0) > 0;
};

/** The authorities of this machine; those that Node brings where it has none. */
const trusted = (): readonly string[] => {
  const ofMachine = new Set(getCACertificates('system'));
  return ofMachine.size > 0 ? [...ofMachine] : getCACertificates('bundled');
};

/** An authority for one run, which nobody else trusts and which ends with it. Undefined: the policy opens nothing, and nothing is changed. */
export const openingFor = async ({ plan }: LoadedPlan): Promise<Opening | undefined> => {
  if (plan.monitored || !plan.rules.some(opens)) return undefined;
  const files = await createAuthority('Cofferdam run', Date.now());
  const read = await readAuthority(files, Date.now());
  if (!read.ok) throw new Error(read.problem.message);
  const leafs = await createLeafs(read.authority, { now: Date.now, kept });
  return {
    opener: createTlsOpener({ leafs, trusted: trusted(), handshakeTimeout }),
    authority: files.certificate,
  };
};
