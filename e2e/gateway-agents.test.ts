/** Agents that differ: of one address family, talking HTTP to each other, and one that takes all it can get. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isFlow, lastRecords } from './attempts.ts';
import { containedUnavailable } from './contained.ts';
import { database, fetched, type GatewayLab, gatewayPolicy, startGatewayLab, worker } from './gateway-lab.ts';

const skip = containedUnavailable();
const toWeb = 'to: [public-internet], web: [named], protocol: tcp, ports: [80, 443]';

/** Datagrams from one source port each to ports of another agent, as fast as they go; says how many. */
const flood = (source: string, seconds: number): readonly string[] => [
  'python3',
  '-c',
  `
import socket, time
end, n = time.time() + ${seconds}, 0
while time.time() < end:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('${source}', 0))
    for port in range(1, 200):
        try:
            s.sendto(b'x', ('10.20.0.10', 20000 + (n * 7 + port) % 40000))
            n += 1
        except OSError:
            pass
    s.close()
print(n)
`,
];

describe('agents of a network', { skip }, () => {
  let g: GatewayLab;

  before(async () => {
    g = await startGatewayLab();
    await g.write(
      gatewayPolicy([
        toWeb,
        `from: [one-family], ${toWeb}`,
        'to: [databases], protocol: tcp, ports: [80], http: { methods: [GET] }',
        'from: [one-family], to: [spoke], protocol: udp',
      ]),
    );
    await g.start();
  });
  after(async () => {
    await g?.stop();
  });

  for (const [who, own, name] of [
    ['IPv6 alone reaches a server of IPv4 alone', 'fd11:1::16', 'v4only.example'],
    ['IPv4 alone reaches a server of IPv6 alone', '10.11.1.14', 'v6only.example'],
  ] as const)
    test(`an agent that has ${who}, by the proxy`, async () => {
      const since = await g.lab.mark();
      const outside = own.includes(':') ? '-6' : '-4';
      const server = own.includes(':') ? '@fd11:1::1' : '@10.11.1.1';
      const type = own.includes(':') ? 'AAAA' : 'A';
      const dig = await g.a.exec(['dig', '+short', '-b', own, server, name, type]);
      const address = dig.stdout.trim();
      assert.notEqual(address, '', 'it is told an address of its own family');
      const pinned = (port: number): string => `${name}:${port}:${address}`;
      const get = (scheme: string, port: number): Promise<string> =>
        fetched(g.a, g.lab, `${scheme}://${name}/`, outside, '--interface', own, '--resolve', pinned(port));
      assert.match(await get('https', 443), /"sni":"v[46]only\.example"/);
      assert.match(await get('http', 80), /"authority":"v[46]only\.example"/);
      const arrived = await g.lab.arrivals({ since, kind: 'request' });
      assert.equal(arrived.length, 2);
      // Under another name the same connection is denied.
      const lied = await fetched(
        g.a,
        g.lab,
        `https://attacker.example/`,
        outside,
        '--interface',
        own,
        '--connect-to',
        `::${own.includes(':') ? `[${address}]` : address}:443`,
        '--resolve',
        `attacker.example:443:${address}`,
      );
      assert.match(lied, /^curl (35|56)/);
      const last = lastRecords(await g.records())
        .filter(isFlow)
        .at(-1)!;
      assert.equal(last.kind === 'flow' && last.reason, 'name-mismatch');
    });

  test('an agent that has both families is told what its own family has', async () => {
    const dig = await g.a.exec(['dig', '+noall', '+comments', '-b', worker[6], '@fd11:1::1', 'v4only.example', 'AAAA']);
    assert.match(dig.stdout, /status: NOERROR.*\n.*ANSWER: 0/);
  });

  test('plain HTTP from agent to agent is judged request by request', async () => {
    const server = g.b.spawn(['python3', '-m', 'http.server', '80', '--bind', '::', '--directory', '/sys/class/net']);
    await server.waitFor(/Serving|::/).catch(() => undefined);
    for (const f of [4, 6] as const) {
      const url = `http://${f === 6 ? `[${database[6]}]` : database[4]}/`;
      assert.match(await fetched(g.a, g.lab, url), /Directory listing/);
      assert.match(await fetched(g.a, g.lab, url, '-X', 'POST', '-d', 'x', '-w', '%{http_code}'), /403$/);
      assert.match(await fetched(g.b, g.lab, `http://${f === 6 ? `[${worker[6]}]` : worker[4]}/`), /^curl 7/);
    }
    await server.kill('SIGKILL');
  });

  test('one agent that takes all it can is held to its quotas, told of in few records, and keeps nobody else from anything', async () => {
    const taking = g.a.spawn(flood('10.11.1.14', 6));
    await new Promise((done) => setTimeout(done, 1500));
    for (let i = 0; i < 12; i++) {
      assert.match(await fetched(g.a, g.lab, 'https://example.com/'), /"server":"web"/, `request ${i}`);
      assert.match(await fetched(g.a, g.lab, 'http://example.com/'), /"server":"web"/, `request ${i}`);
    }
    const { stdout } = await taking.ended;
    assert.ok(Number(stdout) > 20_000, `only ${stdout} datagrams`);
    await new Promise((done) => setTimeout(done, 12_000));
    const records = (await g.records()).filter(({ agent }) => agent.name === 'old');
    const reasons = new Set(records.map(({ reason }) => reason));
    assert.ok(reasons.has('flow-rate') || reasons.has('flow-quota'), [...reasons].join());
    const counted = records
      .filter((one) => one.kind === 'suppressed')
      .reduce((sum, one) => sum + (one.kind === 'suppressed' ? one.count : 0), 0);
    assert.ok(counted > 1000, `${counted} denials were counted together`);
    assert.ok(records.filter((one) => one.kind === 'flow' && one.verdict === 'deny').length < 2000);
    const others = (await g.records()).filter(({ agent, verdict }) => agent.name === 'worker' && verdict === 'deny');
    assert.deepEqual(
      others.filter(({ reason }) => /full|quota|rate/.test(reason)),
      [],
    );
  });
});
