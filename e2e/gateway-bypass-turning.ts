/** Addresses that come and go while connections live, and that others take over (row 21). */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type Attacker, freeAttacker } from './attacker.ts';
import { hello } from './attacks/names.ts';
import { type BypassSite, judged, turningPort } from './gateway-bypass-site.ts';

/** Longer than the shortest time that a resolver's answer is kept: five seconds. */
const kept = 5300;
/** Of one server, which has two hundred addresses. */
const turns = 4;
const perTurn = 50;
const addressesOf = (turn: number): readonly string[] =>
  Array.from({ length: perTurn }, (_, i) => `20.0.1.${turn * perTurn + i + 1}`);

const script = `
def connect(to):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect((to, args['port']))
    s.sendall(bytes.fromhex(args['hello']))
    assert s.recv(9) == b'first', 'no answer'
    return s
def all_of(addresses):
    failed = []
    for to in addresses:
        try: live.append(connect(to))
        except (OSError, AssertionError) as e: failed.append('%s: %r' % (to, e))
    return failed
live = globals().get('live', [])
`;

/** For a `concurrency` of their own: they use an attacker, names and a port of their own, and change no policy. */
export const turningAddresses = (at: () => BypassSite): void => {
  describe('row 21: addresses that turn', () => {
    let site: BypassSite;
    let agent: Attacker;
    before(async () => {
      site = at();
      agent = await freeAttacker(site.lab, site.gateway.a);
      const { code } = await site.lab.exec('internet', ['ip', 'route', 'add', 'local', '20.0.1.0/24', 'dev', 'lo']);
      assert.equal(code, 0);
      await site.server.run(`recorders['turning'] = Recorder('0.0.0.0', args['port'], answers=[b'first', b'second'])`, {
        port: turningPort,
      });
    });

    test('two hundred of them: no live connection ends, and none that was told is refused', {
      timeout: 60_000,
    }, async () => {
      const args = { port: turningPort, hello: Buffer.from(hello('turning.example'), 'latin1').toString('hex') };
      const told: string[] = [];
      for (let turn = 0; turn < turns; turn++) {
        if (turn > 0) await pause(kept);
        await site.setRecord('turning.example', addressesOf(turn));
        if (turn === 0) await pause(100);
        const asked = await agent.run<readonly string[]>(
          `result = sorted({one[4][0] for one in socket.getaddrinfo('turning.example', 1, socket.AF_INET, socket.SOCK_STREAM)})`,
        );
        if (site.mode !== 'synthetic') assert.deepEqual(asked.toSorted(), addressesOf(turn).toSorted());
        told.push(...asked);
        assert.deepEqual(
          await agent.run(`${script}result = all_of(args['addresses'])`, { ...args, addresses: asked }),
          [],
        );
      }
      const all = [...new Set(told)];
      if (site.mode !== 'synthetic') assert.equal(all.length, turns * perTurn);
      const silent = await agent.run<number>(`
result = 0
for s in live:
    try:
        s.sendall(b'more')
        if s.recv(9) != b'second': result += 1
    except OSError: result += 1
`);
      assert.equal(silent, 0, 'connections that do not carry any more');
      assert.deepEqual(
        await agent.run(`${script}result = all_of(args['addresses'])`, { ...args, addresses: all }),
        [],
        'new ones',
      );
      await agent.run('for s in live: s.close()');
    });

    test('one that another name takes over: what lives goes on, what was told is reached, the other name is not', {
      timeout: 60_000,
    }, async () => {
      // At first where multihomed.example is, then at another server.
      const first = site.lab.address('multihomed.example');
      await site.setRecord('moving.example', [first]);
      await pause(100);
      const at = await agent.run<string>(`result = socket.gethostbyname('moving.example')`);
      await agent.run(`
moved = ssl.create_default_context().wrap_socket(dial('moving.example', 443, socket.AF_INET), server_hostname='moving.example')
def exchange(path):
    moved.sendall(('GET %s HTTP/1.1\\r\\nHost: moving.example\\r\\n\\r\\n' % path).encode())
    data = b''
    while b'multihomed' not in data:
        got = moved.recv(4096)
        if not got: raise ConnectionError('closed')
        data += got
exchange('/1')
`);
      await site.setRecord('moving.example', [site.lab.address('example.com')]);
      await pause(kept);
      const now = await agent.run<string>(`result = socket.gethostbyname('moving.example')`);
      if (site.mode !== 'synthetic') assert.deepEqual([at, now], [first, site.lab.address('example.com')]);
      await agent.run(`exchange('/2')`);
      const pinned = (address: string) =>
        site.curl('--resolve', `moving.example:443:${address}`, 'https://moving.example/');
      const late = await pinned(at);
      assert.match(
        late.stdout,
        site.mode === 'track' ? /"server":"multihomed"/ : /"server":"(web|multihomed)"/,
        late.stderr,
      );
      assert.match((await pinned(now)).stdout, /"server":"web"/);
      const since = await site.watch();
      const claim = (name: string) =>
        ({ protocol: 'tcp', host: at, port: 443, send: [hello(name)], patience: 400 }) as const;
      const verdict = site.mode === 'synthetic' ? 'name-mismatch' : 'no-rule';
      await judged(site, [{ what: 'the name that has it now', words: claim('multihomed.example'), verdict }]);
      const said = (await since.arrived('bytes', 'tls')).filter(({ server }) => server === 'multihomed');
      assert.deepEqual(said, []);
    });

    test('a record that is made to point inward between resolution and connection', { timeout: 60_000 }, async () => {
      const host = 'flip.example';
      await site.setRecord(host, ['45.83.64.10']);
      const since = await site.watch();
      const address = await agent.run<string>(`result = socket.gethostbyname(args['host'])`, { host });
      await site.setRecord(host, ['10.20.0.20']);
      const pinned = ['-4', '--resolve', `${host}:80:${address}`];
      assert.match((await site.curl(...pinned, `http://${host}/first`)).stdout, /"server":"attacker"/);
      await pause(kept);
      assert.equal(
        (await site.curl('-4', `http://${host}/second`)).code,
        6,
        'its answer has expired, and it has no usable address',
      );
      // What was judged at resolution is what is dialled; in own mode, the name that is claimed is resolved again.
      const late = await site.curl(...pinned, `http://${host}/third`);
      if (site.mode === 'own') assert.doesNotMatch(late.stdout, /"server"/);
      assert.deepEqual(await since.wire('dst host 10.20.0.20'), []);
    });
  });
};
