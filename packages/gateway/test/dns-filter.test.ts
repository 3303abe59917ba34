import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { DnsRecord } from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import { syntheticAnswers } from '../src/address-answers.ts';
import {
  createDnsFilter,
  createDnsServer,
  createNameBook,
  createRateLimiter,
  createTunnelBudget,
  createUpstreamResolver,
  defaultPool,
  defaultTunnelBudget,
  dnsServerDefaults,
  type Gate,
  type UpstreamServer,
  upstreamDefaults,
} from '../src/index.ts';
import { address, fakeGate, name, recordingInstaller } from './fakes.ts';
import { commandExists, freePort, listening } from './loopback.ts';

/** Zone data that a real resolver serves on loopback. */
const unboundConfig = (port: number, directory: string): string => `
server:
  interface: 127.0.0.1
  port: ${port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${directory}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 0
  access-control: 127.0.0.0/8 allow
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "example.com." static
  local-data: "example.com. 300 IN SOA ns.example.com. h.example.com. 1 3600 600 86400 120"
  local-data: "api.example.com. 300 IN A 93.184.216.34"
  local-data: "api.example.com. 300 IN AAAA 2606:2800:220:1::1"
  local-data: "mixed.example.com. 300 IN A 10.0.0.7"
  local-data: "mixed.example.com. 300 IN A 93.184.216.35"
  local-data: "rebind.example.com. 300 IN A 127.0.0.1"
  local-data: "pool.example.com. 300 IN A 198.18.1.0"
  local-data: "short.example.com. 1 IN A 93.184.216.36"
  local-data: "svc.example.com. 300 IN HTTPS 1 . alpn=h2 ipv4hint=93.184.216.34 ech=AEX+DQBBtAAgACBHZR+G"
  local-data: "svcalias.example.com. 300 IN HTTPS 0 evil.example."
  local-data: "mail.example.com. 300 IN MX 10 mx.example.com."
${Array.from({ length: 40 }, (_, i) => `  local-data: 'big.example.com. 300 IN TXT "${String(i).padStart(3, '0')}${'x'.repeat(80)}"'`).join('\n')}
remote-control:
  control-enable: no
`;

const dig = (port: number, ...args: string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile('dig', ['@127.0.0.1', '-p', String(port), '+tries=1', '+time=4', ...args], (error, stdout) =>
      error === null || stdout !== '' ? resolve(stdout) : reject(error),
    );
  });

const status = (output: string): string => /status: (\w+)/.exec(output)?.[1] ?? 'none';
const answers = (output: string): string[] =>
  output
    .split('\n')
    .filter((line) => /^[a-zA-Z0-9_.-]+\.?\s+\d+\s+IN\s/.test(line))
    .map((line) => line.split(/\s+/).slice(3).join(' '));

const skip = commandExists('dig') && commandExists('unbound') ? false : 'needs dig and unbound';

describe('the DNS filter, with dig in front and unbound behind', { skip }, () => {
  const records: DnsRecord[] = [];
  const installer = recordingInstaller();
  let gate: Gate | undefined;
  const permissive = fakeGate({ domains: ['api.example.com', '*.example.com', 'dead.example.net'] });
  let directory = '';
  let unbound: ChildProcess;
  let udp: UdpSocket;
  let tcp: Server;
  let port = 0;
  let now = 1_800_000_000_000;

  before(async () => {
    gate = permissive;
    directory = mkdtempSync(join(tmpdir(), 'cofferdam-dns-'));
    const upstreamPort = await freePort();
    writeFileSync(join(directory, 'unbound.conf'), unboundConfig(upstreamPort, directory));
    unbound = spawn('unbound', ['-d', '-c', join(directory, 'unbound.conf')], { stdio: 'ignore' });
    await listening(upstreamPort);
    const dead: UpstreamServer = { address: address('127.0.0.1'), port: await freePort() };
    const made = createNameBook({ pool: defaultPool, installer, classesOf: permissive.classesOf });
    assert.ok(made.ok);
    const resolver = createUpstreamResolver({
      ...upstreamDefaults,
      timeout: 1000,
      rounds: 1,
      servers: [dead, { address: address('127.0.0.1'), port: upstreamPort }],
      forward: [{ suffix: name('example.net'), servers: [dead] }],
      sockets: {
        openUdp: (family) => createSocket(family === 4 ? 'udp4' : 'udp6'),
        connectTcp: (a, p) => connect(p, formatAddress(a)),
      },
      randomId: () => Math.floor(Math.random() * 65536),
      now: () => now,
    });
    let id = 0;
    const filter = createDnsFilter({
      gateway: 'test',
      gate: () => gate,
      answers: syntheticAnswers(made.value),
      resolver,
      budget: createTunnelBudget({ ...defaultTunnelBudget, uniqueNames: 40 }),
      limiter: createRateLimiter({ rate: 1000, burst: 1000, keys: 10 }),
      ipv6: true,
      now: () => now,
      nextId: () => `d-${id++}`,
      emit: (record) => records.push(record),
      suppress: () => assert.fail('nothing here is faster than it may'),
    });
    const server = createDnsServer({ filter, addressed: () => undefined, ...dnsServerDefaults, idle: 500 });
    udp = createSocket('udp4');
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
    port = udp.address().port;
    tcp = createServer();
    await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.1', resolve));
    server.serveUdp(udp, 'lo', { address: address('127.0.0.1'), port: 53 });
    server.serveTcp(tcp, 'lo');
  });

  after(() => {
    unbound?.kill();
    udp?.close();
    tcp?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const last = (): DnsRecord => records.at(-1)!;

  test('a permitted name: its synthetic address, installed before the answer, real ones recorded', async () => {
    const output = await dig(port, 'api.example.com', 'A');
    assert.deepEqual([status(output), answers(output)], ['NOERROR', ['A 198.18.1.0']]);
    const binding = installer.bindings.at(-1)!;
    assert.deepEqual([binding.name, binding.addresses.map(formatAddress)], ['api.example.com', ['93.184.216.34']]);
    assert.deepEqual([last().verdict, last().reason, last().rcode], ['permit', 'dns-answered', 'NOERROR']);
    assert.match(output, /api\.example\.com\.\s+60\s/);
  });

  test('AAAA of the same name stands at the same place; both families are in the binding', async () => {
    const output = await dig(port, 'api.example.com', 'AAAA');
    assert.deepEqual(answers(output), ['AAAA fdc0:ffe7:da11:198::100']);
    assert.deepEqual(installer.bindings.at(-1)!.addresses.map(formatAddress), ['93.184.216.34', '2606:2800:220:1::1']);
  });

  test('a name nobody permits: REFUSED with EDE 15 that says why', async () => {
    const output = await dig(port, 'evil.example', 'A');
    assert.equal(status(output), 'REFUSED');
    assert.match(output, /EDE: 15 \(Blocked\).*dns-not-permitted/);
    assert.equal(last().reason, 'dns-not-permitted');
  });

  test('ANY: EDE 17', async () => {
    const output = await dig(port, '+notcp', 'api.example.com', 'ANY');
    assert.equal(status(output), 'REFUSED');
    assert.match(output, /EDE: 17 \(Filtered\)/);
  });

  test('a name whose only address is loopback is refused; of a mixed one only the public address is used', async () => {
    const output = await dig(port, 'rebind.example.com', 'A');
    assert.equal(status(output), 'REFUSED');
    assert.deepEqual([last().reason, last().addresses.map(formatAddress)], ['dns-address-denied', ['127.0.0.1']]);
    assert.equal(status(await dig(port, 'mixed.example.com', 'A')), 'NOERROR');
    assert.deepEqual(installer.bindings.at(-1)!.addresses.map(formatAddress), ['93.184.216.35']);
  });

  test("a permitted zone cannot point at another name's synthetic address, even where the policy would let it", async () => {
    gate = fakeGate({ domains: ['*.example.com'], usable: () => true });
    assert.equal(status(await dig(port, 'pool.example.com', 'A')), 'REFUSED');
    gate = permissive;
  });

  test('names that are not there: NXDOMAIN with an SOA to cache it by', async () => {
    const output = await dig(port, 'nothing.example.com', 'A');
    assert.equal(status(output), 'NXDOMAIN');
    assert.match(output, /nothing\.example\.com\.\s+60\s+IN\s+SOA/);
    assert.equal(status(await dig(port, 'mail.example.com', 'A')), 'NOERROR');
  });

  test('HTTPS records lose ech and hints; aliases are left out', async () => {
    const output = await dig(port, 'svc.example.com', 'HTTPS');
    assert.deepEqual(answers(output), ['HTTPS 1 . alpn="h2"']);
    const alias = await dig(port, 'svcalias.example.com', 'HTTPS');
    assert.deepEqual([status(alias), /IN\s+HTTPS\s+0/.test(alias)], ['NOERROR', false]);
  });

  test('MX passes', async () =>
    assert.deepEqual(answers(await dig(port, 'mail.example.com', 'MX')), ['MX 10 mx.example.com.']));

  test('truncated upstream and downstream: both go to TCP', async () => {
    const cut = await dig(port, '+ignore', 'big.example.com', 'TXT');
    assert.match(cut, /flags:[^;]* tc/);
    const whole = await dig(port, 'big.example.com', 'TXT');
    assert.equal(answers(whole).length, 40);
    assert.equal(last().transport, 'tcp');
  });

  test('without EDNS answers fit in 512 bytes', async () => {
    const output = await dig(port, '+noedns', '+ignore', 'big.example.com', 'TXT');
    assert.ok(Number(/MSG SIZE\s+rcvd: (\d+)/.exec(output)?.[1]) <= 512);
  });

  test('answers are told for 5 seconds at least and are cached', async () => {
    assert.match(await dig(port, 'short.example.com', 'A'), /short\.example\.com\.\s+5\s/);
    now += 3000;
    assert.match(await dig(port, 'short.example.com', 'A'), /short\.example\.com\.\s+5\s/);
  });

  test('a zone of its own resolver is asked of nobody else: SERVFAIL while that is dead', async () => {
    assert.equal(status(await dig(port, 'dead.example.net', 'A')), 'SERVFAIL');
    assert.equal(last().reason, 'dns-upstream');
  });

  test('what the datapath does not take is not answered', async () => {
    installer.failing = true;
    assert.equal(status(await dig(port, 'api.example.com', 'A')), 'SERVFAIL');
    installer.failing = false;
    assert.equal(status(await dig(port, 'api.example.com', 'A')), 'NOERROR');
  });

  test('no plan: refused', async () => {
    gate = undefined;
    assert.match(await dig(port, 'api.example.com', 'A'), /no-plan/);
    gate = permissive;
  });

  test('reverse names are answered here', async () => {
    assert.deepEqual(answers(await dig(port, '-x', '198.18.1.0')), ['PTR api.example.com.']);
    assert.equal(status(await dig(port, '-x', '8.8.8.8')), 'NXDOMAIN');
  });

  test('a name is asked with random ids and its case comes back', async () => {
    assert.match(await dig(port, 'API.example.COM', 'A'), /^API\.example\.COM\.\s/m);
  });

  test('too many names below a wildcard: refused here, never asked upstream; exact names stay free', async () => {
    for (let i = 0; i < 60; i++) await dig(port, '+short', `n${i}.example.com`, 'A');
    const output = await dig(port, 'n99.example.com', 'A');
    assert.match(output, /EDE: 17.*dns-budget/);
    assert.equal(status(await dig(port, 'api.example.com', 'A')), 'NOERROR');
    now += defaultTunnelBudget.window;
  });

  test('garbage: FORMERR, and nothing for responses', async () => {
    const exchange = (bytes: Uint8Array): Promise<Buffer | undefined> =>
      new Promise((resolve) => {
        const socket = createSocket('udp4');
        const timer = setTimeout(() => finish(undefined), 300);
        const finish = (answer: Buffer | undefined): void => {
          clearTimeout(timer);
          socket.close();
          resolve(answer);
        };
        socket.on('message', finish);
        socket.send(bytes, port, '127.0.0.1');
      });
    const header = Buffer.from('abcd01000001000000000000', 'hex');
    assert.equal((await exchange(header))?.toString('hex').slice(0, 8), 'abcd8101');
    assert.equal(last().reason, 'dns-malformed');
    header[2] = 0x81;
    assert.equal(await exchange(header), undefined);
    header[2] = 0x29;
    assert.equal((await exchange(header))?.[3], 4);
  });

  test('TCP: several queries on one connection, cut anywhere; an idle one is closed', async () => {
    const query = Buffer.from('00010100000100000000000003617069076578616d706c6503636f6d0000010001', 'hex');
    const framed = Buffer.concat([Buffer.from([0, query.length]), query]);
    const socket = connect(port, '127.0.0.1');
    const received: Buffer[] = [];
    socket.on('data', (chunk) => received.push(chunk));
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    for (const byte of framed) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.write(Buffer.concat([framed, framed]));
    await closed;
    const all = Buffer.concat(received);
    let count = 0;
    for (let at = 0; at < all.length; at += 2 + all.readUInt16BE(at)) count++;
    assert.equal(count, 3);
  });
});
