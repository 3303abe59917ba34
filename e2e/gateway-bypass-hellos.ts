/** What a client writes into its first bytes, how they are cut, and whether they stay what they were (rows 11, 12, 28). */
import { after, before, describe } from 'node:test';
import { agentHost, type BypassSite } from './gateway-bypass-site.ts';
import { turningAddresses } from './gateway-bypass-turning.ts';
import { helloAttacks } from './hello-attacks.ts';
import { changedBytes, endlessHellos } from './hello-byte-attacks.ts';
import { honestHellos } from './hello-shapes.ts';
import { type HelloSite, helloPolicy, helloSiteAt, permitted } from './hello-site.ts';
import { arrivedAt, type Recording } from './recorded.ts';
import { type SegmentSite, segmentAttacks, toldAddresses } from './segment-attacks.ts';

/** Of what is still to come: flows are found by their ports, and others may have had them before. */
const recordsFrom = async ({ gateway }: BypassSite): Promise<Recording> => {
  const from = (await gateway.records()).length;
  return { process: { records: async () => (await gateway.records()).slice(from) } };
};

export const helloRows = (at: () => BypassSite): void => {
  let hellos: HelloSite;
  before(async () => {
    const site = at();
    await site.under(helloPolicy);
    hellos = await helloSiteAt({ ...site, agent: { ...site.agent, ...(await recordsFrom(site)) } });
  });

  describe('row 11: hellos cut in any way', () => honestHellos(() => hellos));
  describe('rows 11 and 12: hellos of two minds, and encrypted ones', () => helloAttacks(() => hellos));
  describe('row 28: bytes that change after they were judged', () => changedBytes(() => hellos));
  // These wait most of their time.
  describe('rows 11 and 21', { concurrency: true }, () => {
    endlessHellos(() => hellos);
    turningAddresses(at);
  });

  describe('row 28: segments by hand', () => {
    let segments: SegmentSite;
    before(async () => {
      const { mode, lab, agent, macs, server } = at();
      await agent.run('quiet()');
      const told = await agent.run<SegmentSite['told']>(toldAddresses, { name: permitted });
      const keptAt = arrivedAt(server);
      const records = await recordsFrom(at());
      segments = { mode, lab, raw: agent, records, keptAt, gatewayMac: macs.gateway, source: agentHost, told };
      // What was kept before is not of interest.
      for (const family of [4, 6] as const)
        for (const port of [9001, 9101]) await keptAt(lab.address(permitted, family), port);
    });
    after(() => at().exec(['nft', 'delete', 'table', 'inet', 'quiet']));
    segmentAttacks(
      () => segments,
      [
        [4, 'waits'],
        [6, 'binds'],
      ],
    );
  });
};
