import { getCACertificates } from 'node:tls';
import type { Authority } from '@cofferdam/certificates';
import { createTlsOpener, type TlsOpener } from '@cofferdam/gateway';
import type { Plan, PlanRule } from '@cofferdam/plan';

/** Milliseconds: as long as a client may take for its hello. */
const handshakeTimeout = 10_000;
/** Leafs kept: names that agents ask for again. */
const kept = 10_000;

/** TLS is opened where a flow meets the rule. */
const opens = ({ mode, decrypt, tls, http, mcp, web }: PlanRule): boolean => {
  if (mode !== 'enforce' || decrypt === 'not-allowed' || tls === 'absent') return false;
  return decrypt === 'allowed' || http !== undefined || mcp !== undefined || (web?.urls.length ?? 0) > 0;
};

/** Rules for which TLS is opened. */
export const openingRules = ({ monitored, rules }: Plan): readonly PlanRule[] => (monitored ? [] : rules.filter(opens));

/** The authorities of this machine; those that Node brings where it has none. */
const trusted = (): readonly string[] => {
  const ofMachine = new Set(getCACertificates('system'));
  return ofMachine.size > 0 ? [...ofMachine] : getCACertificates('bundled');
};

/** Loaded where TLS is opened, and not by every gateway: it takes memory. */
const certificates = () => import('@cofferdam/certificates');

export const openerOf = async (authority: Authority): Promise<TlsOpener> => {
  const { createLeafs } = await certificates();
  return createTlsOpener({
    leafs: await createLeafs(authority, { now: Date.now, kept }),
    trusted: trusted(),
    handshakeTimeout,
  });
};

/** What one run opens TLS with: an authority that nobody else trusts, and that ends with it. */
export interface RunOpening {
  readonly opener: TlsOpener;
  /** PEM of the authority that the command has to trust. */
  readonly authority: string;
}

/** Undefined: the policy opens nothing, and nothing is changed. */
export const openingOfRun = async (plan: Plan): Promise<RunOpening | undefined> => {
  if (openingRules(plan).length === 0) return undefined;
  const { createAuthority, readAuthority } = await certificates();
  const files = await createAuthority('Cofferdam run', Date.now());
  const read = await readAuthority(files, Date.now());
  if (!read.ok) throw new Error(read.problem.message);
  return { opener: await openerOf(read.authority), authority: files.certificate };
};
