/** A host with two ways out, and a gateway that is told to use one of them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { cofferdam, containedUnavailable } from './contained.ts';
import { fetched, type GatewayLab, gatewayPolicy, startGatewayLab } from './gateway-lab.ts';

const skip = containedUnavailable();
const echo = { 4: '104.131.20.7', 6: '2604:a880::7' } as const;

describe('a gateway with one way out', { skip, timeout: 120_000 }, () => {
  let g: GatewayLab;
  let upstream: string;
  const onHost = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await g.lab.exec('host', argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
    return stdout;
  };
  /** Packets that left by the other way. */
  const elsewhere = async (): Promise<number> =>
    JSON.parse(await onHost('ip', '-j', '-s', 'link', 'show', 'side0'))[0].stats64.tx.packets;
  const reach = (url: string, ...words: string[]): Promise<string> => fetched(g.a, g.lab, url, '-m', '3', ...words);
  const stop = async (gateway: LabProcess): Promise<void> => {
    await gateway.kill('SIGTERM');
    await gateway.ended;
    await g.remove();
  };

  before(async () => {
    g = await startGatewayLab();
    upstream = JSON.parse(await onHost('ip', '-j', 'route', 'show', 'default'))[0].dev;
    // The host's routes lead the echo server's addresses to where nobody is.
    await onHost('ip', 'link', 'add', 'side0', 'type', 'veth', 'peer', 'name', 'side1');
    for (const end of ['side0', 'side1']) await onHost('ip', 'link', 'set', end, 'up', 'arp', 'off');
    await onHost('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'side0');
    await onHost('ip', 'route', 'add', `${echo[4]}/32`, 'dev', 'side0');
    await onHost('ip', '-6', 'route', 'add', `${echo[6]}/128`, 'dev', 'side0');
    await g.write(gatewayPolicy(['to: [public-internet], web: [named], protocol: tcp']));
  });
  after(async () => {
    await g?.stop();
  });

  test('control: without a word of it, traffic leaves as the host’s routes say', async () => {
    const gateway = await g.start();
    const before = await elsewhere();
    assert.match(await reach('https://echo.example/', '-4'), /curl 28/);
    assert.ok((await elsewhere()) > before);
    assert.match(await reach('https://example.com/', '-4'), /"server":"web"/);
    await stop(gateway);
  });

  test('nothing leaves by another interface, on the kernel path and by the proxy', async () => {
    const gateway = await g.start(['--upstream', upstream]);
    const before = await elsewhere();
    for (const family of ['-4', '-6']) {
      assert.match(await reach('https://echo.example/', family), /curl 7/, 'told at once');
      assert.match(await reach('https://example.com/', family), /"server":"web"/);
      assert.match(await reach('http://example.com/', family), /"server":"web"/);
      // The proxy makes connections of its own, and so finds the way that is left.
      assert.match(await reach('http://echo.example/', family), /"server":"echo"/);
    }
    // A way that is gone is a connection that fails, and no more than that.
    await g.lab.exec('host', ['sh', '-c', 'ip -6 route show default > /run/way; ip -6 route del default']);
    assert.match(await reach('http://example.com/', '-6'), /"server":"web"/, 'by the other family');
    await onHost('sh', '-c', 'ip -6 route add $(sed s/onlink// /run/way)');
    assert.match(await reach('http://example.com/', '-4'), /"server":"web"/, 'it serves on');
    // Neighbour discovery of the interface itself is nobody's traffic.
    assert.ok((await elsewhere()) - before <= 3, `${(await elsewhere()) - before} packets left by side0`);
    await stop(gateway);
  });

  test('an interface that is not there, or that agents live behind, is refused', async () => {
    for (const wrong of ['nowhere0', 'eth1']) {
      const { code, stderr } = await g.lab.exec('host', [cofferdam, ...g.words(['--upstream', wrong])]);
      assert.equal(code, 2);
      assert.match(stderr, new RegExp(`--upstream: \`${wrong}\` is no interface that leads out`));
    }
  });
});
