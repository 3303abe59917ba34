/**
 * What a test run of the program cannot be given: tags that the kernel has taken off, segments that the sender's kernel did not cut, and
 * fragments. An agent, the gateway's namespace with its netfilter rules, and a server:
 *
 *     agent 10.11.1.7 ── agent0 [from_agent, to_agent] gateway up0 ── 10.9.0.2 server 93.184.216.34
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import {
  createNetworkNamespace,
  gatewayRuleset,
  interfaceIndex,
  type Kernel,
  type KernelEvent,
  type KernelFlow,
  layout,
  type NetworkNamespace,
  openKernel,
  openNftables,
} from '@cofferdam/datapath';
import {
  clientHelloStream,
  contextOf,
  ethernet,
  address as ip,
  ipFrame,
  permit,
  policyOf,
  protocolNumbers,
  tcpFrame,
  udpHeaderAndPayload,
} from '@cofferdam/testkit';
import { type Reason, reasonEntry, reasonFromNumber } from '@cofferdam/verdict';
import koffi from 'koffi';
import { kernelUnavailable, loadedPlan, objectFile } from './kernel-lab.ts';

const skip = kernelUnavailable();
const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, unsigned int length)');
const send = libc.func('int64_t send(int fd, const void *data, size_t length, int flags)');
const close = libc.func('int close(int fd)');

const agentAddress = ip('10.11.1.7');
const serverAddress = ip('93.184.216.34');

/** Takes whatever comes until the client ends, and answers with how much it was and its digest; to a datagram with as many bytes as asked. */
const serverScript = `
const { createServer } = require('node:net');
const { createHash } = require('node:crypto');
for (const port of [8443, 9000])
  createServer({ allowHalfOpen: true }, (s) => {
    const got = [];
    s.on('data', (d) => got.push(d));
    s.on('error', () => {});
    s.on('end', () => { const all = Buffer.concat(got); s.end(all.length + ' ' + createHash('sha256').update(all).digest('hex')); });
  }).listen(port, '93.184.216.34');
const udp = require('node:dgram').createSocket('udp4');
udp.on('message', (m, from) => udp.send(Buffer.alloc(Number(m.toString().split(' ')[1] || 0), m.length + ' '), from.port, from.address));
udp.bind(5000, '93.184.216.34', () => console.log('ready'));
`;
const tcpScript = `
const s = require('node:net').connect({ host: '93.184.216.34', port: Number(process.argv[1]), noDelay: true, allowHalfOpen: true });
const bytes = require('node:fs').readFileSync(0);
let got = '';
s.on('connect', () => s.end(bytes));
s.on('data', (d) => { got += d; });
s.on('error', (e) => { console.log(e.code); process.exit(); });
s.on('end', () => { console.log(got); process.exit(); });
setTimeout(() => { console.log('silence'); process.exit(); }, 4000);
`;
const udpScript = `
const s = require('node:dgram').createSocket('udp4');
const text = 'answer ' + process.argv[2] + ' ';
s.on('message', (m) => { console.log(m.length + ' ' + m.toString('latin1', 0, 4)); process.exit(); });
s.send(Buffer.concat([Buffer.from(text), Buffer.alloc(Number(process.argv[1]) - text.length, 32)]), 5000, '93.184.216.34');
setTimeout(() => { console.log('silence'); process.exit(); }, 1500);
`;

describe('over real interfaces', { skip }, () => {
  let agent: NetworkNamespace;
  let gateway: NetworkNamespace;
  let server: NetworkNamespace;
  let kernel: Kernel;
  let serving: ChildProcess;
  let raw = -1;
  let agentMac = '';
  let gatewayMac = '';
  const events: KernelEvent[] = [];

  const inside = (namespace: NetworkNamespace, ...commands: readonly string[]): void => {
    for (const command of commands)
      execFileSync('nsenter', [`--net=${namespace.path}`, ...command.split(' ')], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
  };
  const macOf = (namespace: NetworkNamespace, name: string): string =>
    execFileSync('nsenter', [`--net=${namespace.path}`, 'ip', '-o', 'link', 'show', name])
      .toString()
      .match(/link\/ether (\S+)/)![1]!;
  const node = (namespace: NetworkNamespace, script: string, ...words: readonly string[]): ChildProcess =>
    spawn('nsenter', [`--net=${namespace.path}`, process.execPath, '-e', script, ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  const saidBy = async (child: ChildProcess, input: Uint8Array = new Uint8Array(0)): Promise<string> => {
    let text = '';
    child.stdout!.on('data', (data: Buffer) => {
      text += data;
    });
    child.stdin!.end(input);
    await once(child, 'close');
    return text.trim();
  };
  const dropped = (reason: Reason): bigint => {
    const { size, dropped: at } = layout.counters;
    const values = Buffer.alloc(size * 1024);
    kernel.object.map('counts').get(Buffer.alloc(4), values);
    let sum = 0n;
    for (let i = 0; i < values.length; i += size)
      sum += values.readBigUInt64LE(i + at + 8 * reasonEntry(reason).number);
    return sum;
  };
  const flowFrom = (port: number): KernelFlow | undefined =>
    [...kernel.flows()].find(({ key }) => key.sourcePort === port)?.flow;
  const lastFlow = (): KernelFlow =>
    [...kernel.flows()].map(({ flow }) => flow).sort((a, b) => Number(b.start - a.start))[0]!;
  const sendRaw = (frame: Uint8Array): void => {
    assert.equal(Number(send(raw, frame, frame.length, 0)), frame.length);
  };

  before(async () => {
    [agent, gateway, server] = [createNetworkNamespace(), createNetworkNamespace(), createNetworkNamespace()];
    inside(
      gateway,
      'ip link set lo up',
      'ip link add agent0 type veth peer name eth0',
      'ip link add up0 type veth peer name eth1',
    );
    inside(gateway, `ip link set eth0 netns ${agent.path}`, `ip link set eth1 netns ${server.path}`);
    inside(
      gateway,
      'ip addr add 10.11.1.1/24 dev agent0',
      'ip addr add 10.9.0.1/24 dev up0',
      'ip link set agent0 up',
      'ip link set up0 up',
    );
    inside(gateway, 'ip route add 93.184.216.34 via 10.9.0.2');
    inside(
      agent,
      'ip link set lo up',
      'ip addr add 10.11.1.7/24 dev eth0',
      'ip link set eth0 up',
      'ip route add default via 10.11.1.1',
    );
    inside(server, 'ip link set lo up', 'ip addr add 10.9.0.2/24 dev eth1', 'ip addr add 93.184.216.34/32 dev lo');
    inside(server, 'ip link set eth1 up', 'ip route add default via 10.9.0.1');
    gateway.run(() => writeFileSync('/proc/sys/net/ipv4/ip_forward', '1'));
    kernel = openKernel(objectFile, (event) => events.push(event));
    const ifindex = gateway.run(() => kernel.attach('agent0'));
    const policy = policyOf([
      permit({ tls: 'required', ports: ['8443'] }),
      permit({ ports: ['9000'] }),
      permit({ protocol: 'udp' }),
    ]);
    kernel.apply(loadedPlan(policy, contextOf(policy)), { ifindexes: () => [ifindex], pools: [], own: [] });
    const nft = openNftables(gateway);
    nft.run(
      gatewayRuleset({
        agentInterfaces: ['agent0'],
        uplinkInterface: 'up0',
        proxyPort: 8888,
        own4: '198.18.0.0/15',
        own6: 'fd00:cffd::/32',
      }),
    );
    nft.close();
    [agentMac, gatewayMac] = [macOf(agent, 'eth0'), macOf(gateway, 'agent0')];
    raw = agent.run(() => {
      const fd = Number(socket(17, 3, 0x0300)); // AF_PACKET, SOCK_RAW, ETH_P_ALL in network order
      const where = Buffer.alloc(20);
      where.writeUInt16LE(17, 0);
      where.writeUInt16BE(3, 2);
      where.writeInt32LE(interfaceIndex('eth0'), 4);
      assert.equal(bind(fd, where, 20), 0);
      return fd;
    });
    serving = node(server, serverScript);
    await once(serving.stdout!, 'data');
  });
  after(() => {
    serving?.kill();
    if (raw >= 0) close(raw);
    kernel?.close();
    for (const namespace of [agent, gateway, server]) namespace?.close();
  });

  const helloOf = (length: number): Uint8Array => {
    const bare = clientHelloStream({ sni: 'api.example.com', keyShareSize: 3000 }).length;
    const size = length - bare + 3000 - (length > 16_384 + 5 ? 5 : 0);
    return clientHelloStream({ sni: 'api.example.com', keyShareSize: size });
  };

  for (const length of [600, 3900, 4100, 9000, 13_000, 20_000, 20_480])
    test(`a hello of ${length} bytes in one write arrives as it was sent`, async () => {
      const bytes = helloOf(length);
      assert.equal(bytes.length, length);
      const wanted = `${length} ${createHash('sha256').update(bytes).digest('hex')}`;
      assert.equal(await saidBy(node(agent, tcpScript, '8443'), bytes), wanted);
      const flow = lastFlow();
      assert.equal(flow.tls.state, 'known');
      // The sender's kernel did not cut it: what is larger than a test run takes came in fewer packets than segments.
      if (length > 8000)
        assert.ok(flow.toDestination.packets < BigInt(length) / 1400n + 4n, `${flow.toDestination.packets} packets`);
      kernel.poll();
      assert.equal(events.findLast(({ flow: { tls } }) => tls.state === 'known')?.name, 'api.example.com');
    });

  test('a hello beyond the bound ends in a reset', async () => {
    assert.equal(await saidBy(node(agent, tcpScript, '8443'), helloOf(20_700)), 'ECONNRESET');
    assert.equal(reasonFromNumber(lastFlow().reason), 'hello-unreadable');
  });

  test('what is not TLS ends in a reset where TLS is required', async () => {
    assert.equal(await saidBy(node(agent, tcpScript, '8443'), new Uint8Array(9000)), 'ECONNRESET');
    assert.equal(reasonFromNumber(lastFlow().reason), 'no-rule');
  });

  test('where nothing has to be read, a megabyte passes unchanged', async () => {
    const bytes = Buffer.alloc(1 << 20, 'cofferdam');
    const wanted = `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;
    assert.equal(await saidBy(node(agent, tcpScript, '9000'), bytes), wanted);
  });

  for (const [what, size, answer, says] of [
    ['a datagram and its answer', 100, 200, '200 100 '],
    ['a datagram in three fragments', 4000, 200, '200 4000'],
    ['an answer in three fragments', 100, 4000, '4000 100 '],
    ['both', 30_000, 30_000, '30000 3000'],
  ] as const)
    test(`UDP: ${what}`, async () => {
      assert.equal(await saidBy(node(agent, udpScript, String(size), String(answer))), says.trim());
    });

  const tagged = (port: number, tags: readonly { readonly type?: number; readonly id: number }[]): Uint8Array => {
    const plain = tcpFrame(
      { source: agentAddress, destination: serverAddress, sourcePort: port, destinationPort: 9000 },
      { flags: 'S', sequence: 1 },
    );
    return ethernet(0x0800, plain.subarray(14), { source: agentMac, destination: gatewayMac, tags });
  };

  test('a frame without a tag, and one with a tag that names no network, are the same', () => {
    sendRaw(tagged(3000, []));
    assert.ok(flowFrom(3000) !== undefined);
    sendRaw(tagged(3001, [{ id: 0 }]));
    assert.ok(flowFrom(3001) !== undefined);
    sendRaw(tagged(3002, [{ id: 0xe000 }])); // priority 7
    assert.ok(flowFrom(3002) !== undefined);
  });

  for (const [what, tags] of [
    ['VLAN 5', [{ id: 5 }]],
    ['VLAN 4095', [{ id: 0xffff }]],
    ['a provider tag', [{ type: 0x88a8, id: 5 }]],
    ['VLAN 5 inside a tag that names no network', [{ id: 0 }, { id: 5 }]],
    ['no network inside VLAN 5', [{ id: 5 }, { id: 0 }]],
    ['two tags that name no network', [{ id: 0 }, { id: 0 }]],
    ['a provider tag and VLAN 5', [{ type: 0x88a8, id: 0 }, { id: 5 }]],
  ] as const)
    test(`dropped: ${what}`, () => {
      const before = dropped('vlan-tagged');
      sendRaw(tagged(3100, tags));
      assert.equal(dropped('vlan-tagged') - before, 1n);
      assert.equal(flowFrom(3100), undefined);
    });

  test('fragments that overlap their first one’s ports do not get another port through', () => {
    const datagram = (port: number): Uint8Array =>
      udpHeaderAndPayload(
        { source: agentAddress, destination: serverAddress, sourcePort: 3200, destinationPort: port },
        { payload: new Uint8Array(48) },
      );
    const fragment = (bytes: Uint8Array, offset: number, more: boolean): Uint8Array =>
      ipFrame(agentAddress, serverAddress, protocolNumbers.udp, bytes, {
        source: agentMac,
        destination: gatewayMac,
        id: 77,
        fragment: (more ? 0x2000 : 0) | (offset / 8),
      });
    const before = dropped('quic');
    sendRaw(fragment(datagram(443).subarray(0, 24), 0, true));
    assert.equal(dropped('quic') - before, 1n);
    sendRaw(fragment(datagram(5000).subarray(8), 8, false));
    assert.equal(flowFrom(3200), undefined);
  });

  test('nothing was lost on the way to user space', () => {
    kernel.poll();
    assert.equal(kernel.eventsLost(), 0n);
  });
});
