/** The lab itself: what later tests expect to be denied does work here, so that their denials mean something. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type ExecOptions,
  type ExecResult,
  type Lab,
  labUnavailable,
  removeLeftovers,
  startLab,
} from '@cofferdam/testkit/lab';

const skip = labUnavailable() ?? false;

describe('the lab', { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.stop());

  const run = (argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> =>
    lab.exec('host', argv, {
      ...options,
      env: { ...lab.ca.environment, GIT_SSH_COMMAND: lab.ssh.command, ...options.env },
    });
  const output = async (...argv: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
    return stdout.trim();
  };

  test('names resolve, and each resolver records the question', async () => {
    const since = await lab.mark();
    assert.match(await output('getent', 'ahostsv4', 'api.github.com'), /^140\.82\.121\.6 /);
    assert.equal(await output('dig', '+short', `@${lab.resolvers[2]}`, 'pypi.org'), lab.address('pypi.org'));
    assert.equal(
      await output('dig', '+short', '+tcp', `@${lab.resolver6}`, 'pypi.org', 'AAAA'),
      lab.address('pypi.org', 6),
    );
    assert.match(await output('dig', 'no-such-name.test'), /status: NXDOMAIN/);
    const asked = await lab.arrivals({ since, kind: 'query' });
    assert.deepEqual(
      asked.map((query) => query.kind === 'query' && [query.server, query.name, query.type]),
      [
        ['resolver', 'api.github.com', 'A'],
        ['resolver2', 'pypi.org', 'A'],
        ['resolver', 'pypi.org', 'AAAA'],
        ['resolver', 'no-such-name.test', 'A'],
      ],
    );
  });

  test('every name below the zone of the attacker reaches the resolver', async () => {
    const name = 'c2vjcmv0.attacker.example';
    assert.equal(await output('dig', '+short', name), lab.address('attacker.example'));
    assert.equal((await lab.arrivals({ kind: 'query', name })).length, 1);
  });

  for (const family of [4, 6] as const) {
    test(`https verifies with the CA of the lab over IPv${family}`, async () => {
      const since = await lab.mark();
      const answer = JSON.parse(await output('curl', '-sS', `-${family}`, 'https://github.com/acme')) as {
        server: string;
        version: string;
      };
      assert.deepEqual([answer.server, answer.version], ['github', '2.0']);
      const seen = (await lab.arrivals({ since, server: 'github' })).filter(({ kind }) => kind !== 'close');
      assert.deepEqual(
        seen.map(({ kind }) => kind),
        ['connection', 'bytes', 'tls', 'request'],
      );
      assert.equal(seen[0]?.local.address, lab.address('github.com', family));
      assert.equal(seen[0]?.source.address, family === 4 ? lab.host4 : lab.host6);
      assert.equal((await lab.arrivals({ since, name: 'github.com', kind: 'tls' })).length, 1);
    });

    test(`udp and tcp echo over IPv${family}`, async () => {
      const address = lab.address('echo.example', family);
      assert.equal((await run(['nc', '-u', '-w1', address, '7'], { input: 'hello' })).stdout, 'hello');
      assert.equal((await run(['nc', '-N', '-w2', address, '5000'], { input: 'hello' })).stdout, 'hello');
      const [datagram] = await lab.arrivals({ server: 'echo', kind: 'datagram', port: 7 });
      assert.equal(datagram?.kind === 'datagram' && datagram.bytes, 'hello');
    });
  }

  test('https does not verify without the CA, nor under a name the server does not own', async () => {
    assert.equal(
      (
        await run(['curl', '-sS', 'https://github.com/'], {
          env: { CURL_CA_BUNDLE: undefined, SSL_CERT_FILE: undefined },
        })
      ).code,
      60,
    );
    const swapped = await run([
      'curl',
      '-sS',
      '--connect-to',
      'github.com:443:attacker.example:443',
      'https://github.com/',
    ]);
    assert.equal(swapped.code, 60);
    assert.ok((await lab.arrivals({ server: 'attacker', kind: 'tls', name: 'github.com' })).length > 0);
  });

  test('names of one content network share an address and have their own certificates', async () => {
    assert.equal(lab.address('pypi.org'), lab.address('cdn.attacker.example'));
    for (const name of ['pypi.org', 'files.pythonhosted.org', 'cdn.attacker.example']) {
      const answer = JSON.parse(await output('curl', '-sS', `https://${name}/`)) as { server: string; sni: string };
      assert.deepEqual([answer.server, answer.sni], ['cdn', name]);
    }
  });

  test('plain http, HTTP/1.1 over TLS, sizes, events, MCP and upgrades', async () => {
    assert.match(await output('curl', '-sS', 'http://example.com/x?y'), /"target":"\/x\?y","version":"1.1"/);
    assert.match(
      await output('curl', '-sS', '--http1.1', 'https://example.com/'),
      /"version":"1.1","sni":"example.com"/,
    );
    assert.equal(
      await output('curl', '-sS', '-o', '/dev/null', '-w', '%{size_download}', 'https://example.com/bytes/3000000'),
      '3000000',
    );
    assert.equal(await output('curl', '-sS', '-d', 'abc', 'https://example.com/echo'), 'abc');
    assert.match(await output('curl', '-sS', 'https://example.com/events'), /data: 3/);
    const call = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_code"}}';
    assert.match(
      await output('curl', '-sS', '-d', call, 'https://mcp.models.example/mcp'),
      /"id":7,"result":.*lab did tools\/call/,
    );
    const upgrade = [
      'curl',
      '-sS',
      '-N',
      '-m',
      '1',
      '-i',
      '-H',
      'Connection: Upgrade',
      '-H',
      'Upgrade: echo',
      'http://example.com/',
    ];
    assert.match((await run(upgrade)).stdout, /^HTTP\/1.1 101/);
  });

  test('a web socket echoes, over TLS', async () => {
    const client =
      "const s = new WebSocket('wss://api.models.example/stream'); s.onopen = () => s.send('ping'); s.onmessage = (m) => { console.log(m.data); s.close(); };";
    assert.equal(await output(process.execPath, '--eval', client), 'ping');
  });

  test('a repository is cloned and pushed over ssh, and cloned over https', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lab-'));
    try {
      await output('git', 'clone', '--quiet', lab.ssh.repository, join(folder, 'ssh'));
      const git = ['git', '-C', join(folder, 'ssh'), '-c', 'user.name=t', '-c', 'user.email=t@t.example'];
      await output(...git, 'commit', '--quiet', '--allow-empty', '-m', 'more');
      await output(...git, 'push', '--quiet');
      await output('git', 'clone', '--quiet', 'https://github.com/acme/tool.git', join(folder, 'https'));
      assert.ok(existsSync(join(folder, 'ssh', 'README.md')) && existsSync(join(folder, 'https', 'README.md')));
      const [first] = await lab.arrivals({ server: 'github', kind: 'bytes', port: 22 });
      assert.match(first?.kind === 'bytes' ? first.bytes : '', /^SSH-2\.0-OpenSSH/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('servers that speak first: MySQL, public and in the spoke, and SMTP', async () => {
    const query = ['--connect-timeout=3', '-u', 'agent', '-N', '-e', 'select 1'];
    assert.equal(await output('mysql', '-h', 'db.example', ...query), 'lab');
    assert.equal(await output('mysql', '-h', 'database.internal.example', ...query), 'lab');
    assert.equal((await lab.arrivals({ server: 'spoke-database', kind: 'connection' })).length, 1);
    const mail = await run(
      ['curl', '-sS', 'smtp://mail.example', '--mail-from', 'a@a.example', '--mail-rcpt', 'b@b.example', '-T', '-'],
      {
        input: 'Subject: x\n\nhello\n',
      },
    );
    assert.equal(mail.code, 0, mail.stderr);
  });

  test('time by NTP', async () => {
    const ask =
      "import socket,struct,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(3); s.sendto(b'\\x23'+47*b'\\0',('time.example',123)); print(abs(struct.unpack('!I',s.recv(48)[40:44])[0]-2208988800-time.time())<5)";
    assert.equal(await output('python3', '-c', ask), 'True');
  });

  test('the metadata service answers, and the whole spoke is near', async () => {
    assert.equal(await output('curl', '-sS', 'http://169.254.169.254/latest/meta-data/'), 'lab-instance-credentials');
    assert.equal(await output('curl', '-sS', 'http://[fd00:ec2::254]/latest/meta-data/'), 'lab-instance-credentials');
    assert.match(await output('curl', '-sS', 'https://wiki.internal.example/'), /"server":"spoke-wiki"/);
  });

  test('a QUIC client sends its hello to UDP/443', {
    skip: existsSync('/usr/bin/gtlsclient') ? false : 'ngtcp2-client is not installed',
  }, async () => {
    const since = await lab.mark();
    await run(
      [
        'gtlsclient',
        '--timeout=500ms',
        '--exit-on-all-streams-close',
        lab.address('pypi.org'),
        '443',
        'https://pypi.org/',
      ],
      { timeout: 1500 },
    );
    const [first] = await lab.arrivals({ since, server: 'cdn', kind: 'datagram', port: 443 });
    assert.ok(first?.kind === 'datagram' && first.length >= 1200);
  });

  test('a tunnel through the resolver carries packets (iodine)', async () => {
    const { password, zone } = lab.tunnels.iodine;
    const tunnel = lab.spawn('host', ['iodine', '-f', '-r', '-P', password, '-T', 'TXT', lab.resolver4, zone]);
    try {
      await tunnel.waitFor(/Connection setup complete/, 20_000);
      await output('ping', '-c', '2', '-W', '5', '10.53.0.1');
    } finally {
      await tunnel.kill();
      await tunnel.ended;
    }
    assert.ok((await lab.arrivals({ server: 'iodine', kind: 'query' })).length > 4);
  });

  test('a tunnel through the resolver carries a stream (dns2tcp)', async () => {
    const { key, zone, resource } = lab.tunnels.dns2tcp;
    const tunnel = lab.spawn('host', [
      'dns2tcpc',
      '-z',
      zone,
      '-k',
      key,
      '-r',
      resource,
      '-l',
      '8053',
      '-d',
      '1',
      lab.resolver4,
    ]);
    try {
      await tunnel.waitFor(/Listening on port/i);
      const echoed = await run(['timeout', '8', 'sh', '-c', '(echo through; sleep 1) | nc -N 127.0.0.1 8053']);
      assert.match(echoed.stdout, /through/);
    } finally {
      await tunnel.kill();
      await tunnel.ended;
    }
    assert.ok((await lab.arrivals({ server: 'dns2tcp', kind: 'query' })).length > 2);
  });

  test('a record changes at both resolvers', async () => {
    await lab.setRecord('moving.example', ['93.184.215.14']);
    for (const resolver of lab.resolvers)
      assert.equal(await output('dig', '+short', `@${resolver}`, 'moving.example'), '93.184.215.14');
    await lab.setRecord('moving.example', ['151.101.0.223']);
    for (const resolver of lab.resolvers)
      assert.equal(await output('dig', '+short', `@${resolver}`, 'moving.example'), '151.101.0.223');
  });

  test('the second resolver answers while the first is stopped', async () => {
    await lab.stopServer('resolver');
    const since = await lab.mark();
    assert.match(await output('getent', 'ahostsv4', 'github.com'), /^140\.82\.121\.4 /);
    assert.equal((await lab.arrivals({ since, server: 'resolver2', kind: 'query' })).length, 1);
    await lab.startServer('resolver');
    assert.equal(await output('dig', '+short', 'github.com'), lab.address('github.com'));
  });

  test('an address can fall silent, and a dead one always is', async () => {
    const connect = async (address: string): Promise<number> => (await run(['nc', '-z', '-w1', address, '443'])).code;
    const address = lab.address('multihomed.example');
    assert.equal(await connect(address), 0);
    await lab.silence(address, true);
    assert.equal(await connect(address), 1);
    await lab.silence(address, false);
    assert.equal(await connect(address), 0);
    assert.equal(await connect(lab.address('dead-first.example')), 1);
  });

  test('packets are captured', async () => {
    const capture = await lab.capture();
    await output('curl', '-sS', '-4', 'http://example.com/');
    await capture.stop();
    assert.ok((await capture.packets('tcp[tcpflags] & tcp-syn != 0 and dst host 93.184.215.14')).length === 1);
    assert.equal((await capture.packets('dst host 45.83.64.10')).length, 0);
  });

  test('a program is timed out, signalled and seen to end', async () => {
    const late = await run(['sleep', '30'], { timeout: 100 });
    assert.deepEqual([late.timedOut, late.code], [true, 137]);
    const polite = lab.spawn('host', [
      'sh',
      '-c',
      'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done',
    ]);
    await polite.waitFor(/up/);
    await polite.kill('SIGTERM');
    const { code, stdout } = await polite.ended;
    assert.deepEqual([code, stdout], [3, 'up\nbye\n']);
  });

  test('nothing outside is reached: not the network of this machine, not its loopback', async () => {
    assert.equal((await run(['ping', '-c', '1', '-W', '1', '1.2.3.4'])).code, 1);
    const outside = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await new Promise((resolve) => outside.once('listening', resolve));
    const bound = outside.address();
    const port = typeof bound === 'object' ? bound?.port : undefined;
    assert.equal((await run(['nc', '-z', '-w1', '127.0.0.1', String(port)])).code, 1);
    outside.close();
  });
});

describe('a lab that ends', { skip }, () => {
  /** Network namespaces in use on this machine. */
  const namespaces = (): ReadonlySet<string> => {
    const found = new Set<string>();
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        found.add(readlinkSync(`/proc/${pid}/ns/net`));
      } catch (error) {
        if (!['ENOENT', 'EACCES', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
    }
    return found;
  };
  const gone = async (kept: readonly string[]): Promise<void> => {
    for (let left = 100; kept.some((name) => namespaces().has(name)); left -= 1) {
      assert.ok(left > 0, 'network namespaces are still in use');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const namespacesOf = (pids: readonly number[]): readonly string[] =>
    pids.map((pid) => readlinkSync(`/proc/${pid}/ns/net`));

  test('stops with everything that was started in it', async () => {
    await using lab = await startLab({ daemons: ['resolver'], resolver: 'dnsmasq' });
    const spaces = namespacesOf(Object.values(lab.machines).map(({ pid }) => pid));
    const { stdout } = await lab.exec('host', ['dig', '+short', 'github.com', 'x.attacker.example']);
    assert.equal(stdout, '140.82.121.4\n45.83.64.10\n');
    // A daemon that has detached itself from its parent and session.
    await lab.exec('host', ['setsid', '--fork', 'sleep', '600']);
    await lab.stop();
    await gone(spaces);
    assert.ok(!existsSync(lab.directory));
  });

  test('crashes: the kernel ends its processes, and the next lab removes its folder', async () => {
    const script = `
      import { startLab } from '@cofferdam/testkit/lab';
      const lab = await startLab({ daemons: [] });
      await lab.exec('host', ['setsid', '--fork', 'sleep', '600']);
      console.log(JSON.stringify({ directory: lab.directory, pids: Object.values(lab.machines).map(({ pid }) => pid) }));
      setInterval(() => undefined, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve) => owner.stdout.once('data', (data) => resolve(String(data))));
    const { directory, pids } = JSON.parse(line) as { directory: string; pids: number[] };
    const spaces = namespacesOf(pids);
    assert.deepEqual(await removeLeftovers(), []);
    assert.ok(existsSync(directory));
    owner.kill('SIGKILL');
    await new Promise((resolve) => owner.once('exit', resolve));
    await gone(spaces);
    assert.deepEqual(await removeLeftovers(), [directory]);
    assert.ok(!existsSync(directory));
  });
});
