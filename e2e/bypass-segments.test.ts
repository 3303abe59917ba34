import { after, before, describe, test } from 'node:test';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { type Attacker, type ContainedAttacker, containedAttacker, eventually, freeAttacker } from './attacker.ts';
import { containedUnavailable } from './contained.ts';
import { denied, families, forged, helloPolicy, permitted, ports, treatments } from './hello-site.ts';
import { agentHost, runMacs } from './packet-site.ts';
import { arrivedAt, record } from './recorded.ts';
import { type SegmentPlace, type SegmentSite, segmentAttacks, toldAddresses } from './segment-attacks.ts';

describe('segments by hand', { skip: containedUnavailable(), timeout: 150_000 }, () => {
  let lab: Lab;
  let site: SegmentSite;
  let free: Attacker;
  let agent: ContainedAttacker;

  before(async () => {
    lab = await startLab({ daemons: ['resolver', 'resolver2'] });
    const server = await freeAttacker(lab, 'internet');
    free = await freeAttacker(lab, 'host');
    await record(server, lab.addresses(permitted), [ports.waits, ports.binds]);
    agent = await containedAttacker(lab, { policy: agentPolicy(helloPolicy) });
    const raw = await agent.rawAttacker();
    await raw.run('quiet()');
    await free.run('quiet()');
    site = {
      ...{ mode: 'synthetic', lab, raw, records: agent, keptAt: arrivedAt(server) },
      ...{ gatewayMac: runMacs.gateway, source: agentHost },
      told: await agent.run(toldAddresses, { name: permitted }),
    };
  });
  after(async () => {
    await agent?.stop();
    await lab?.stop();
  });

  segmentAttacks(
    () => site,
    families.flatMap((family) => treatments.map((treatment): SegmentPlace => [family, treatment])),
  );

  test('without a gateway, a new beginning in the middle of a connection is ignored by the server', async () => {
    const whole = forged({ sni: denied });
    const address = lab.address(permitted);
    await free.run(
      `
from scapy.all import getmacbyip
other = bytes.fromhex(args['other'])
c = RawTcp(args['to'], 9101, args['source'], getmacbyip('192.168.50.1'))
assert c.open(), 'no connection'
c.send(0, other[:50]); c.hear(0.5)
c.send(900000000, b'', 'R'); c.send(49, b'', 'S', ack=0); c.hear(0.3)
c.send(50, other[50:]); c.hear(0.3)
`,
      { to: address, source: lab.host4, other: whole },
    );
    await eventually('the whole stream at the server', async () =>
      (await site.keptAt(address, ports.binds, 'keep')).some(({ data }) => data === whole),
    );
  });
});
