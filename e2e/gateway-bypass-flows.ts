/** Flows that live while policy changes (row 20). */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { PolicyWords } from './agent-policy.ts';
import { type BypassSite, families } from './gateway-bypass-site.ts';
import { attackerHost, echoHost } from './packet-site.ts';

const echo = ['{ cidr: 104.131.20.7/32 }', '{ cidr: "2604:a880::7/128" }'];
const attacker = ['{ cidr: 45.83.64.10/32 }', '{ cidr: "2a0e:1d40::10/128" }'];
const kept = 'web: [kept], protocol: tcp, ports: [80, 443]';
const first: PolicyWords = {
  web: { kept: ['pypi.org'], gone: ['example.com'] },
  to: { echo, attacker },
  rules: [
    kept,
    'web: [gone], protocol: tcp, ports: [80, 443]',
    'to: [echo], protocol: tcp, ports: [5000]',
    'to: [echo], protocol: udp, ports: [7]',
    'to: [attacker], protocol: udp, ports: [9200]',
  ],
};
const then: PolicyWords = { web: { kept: ['pypi.org'] }, rules: [kept] };

/** Connections of every kind, each of which can say something and be answered. */
const open = `
def talk(s, text, until, datagram=False):
    def exchange():
        s.sendall(text)
        data = b''
        while until not in data:
            got = s.recv(4096)
            if not got: raise ConnectionError('closed')
            data += got
    s.settimeout(1)
    return exchange
def tls(name, family):
    return ssl.create_default_context().wrap_socket(dial(name, 443, family), server_hostname=name)
def request(name):
    return ('GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n' % name).encode()
def datagrams(to):
    s = socket.socket(family_of(to), socket.SOCK_DGRAM)
    s.connect((to, 7))
    return s
talks = {}
for f in (socket.AF_INET, socket.AF_INET6):
    which = '6' if f == socket.AF_INET6 else '4'
    to = args['echo'][which]
    talks['kept ' + which] = talk(tls('pypi.org', f), request('pypi.org'), b'"server":"cdn"')
    talks['kept http ' + which] = talk(dial('pypi.org', 80, f), request('pypi.org'), b'"server":"cdn"')
    talks['tls ' + which] = talk(tls('example.com', f), request('example.com'), b'"server":"web"')
    talks['http ' + which] = talk(dial('example.com', 80, f), request('example.com'), b'"server":"web"')
    talks['tcp ' + which] = talk(dial(to, 5000), b'said', b'said')
    talks['udp ' + which] = talk(datagrams(to), b'said', b'said')
`;
const say = `
result = []
for name, exchange in talks.items():
    try: exchange()
    except OSError as e: result.append(name)
`;
/** Goes on sending to whoever said something once. */
const push = `
def push(address):
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    s.bind((address, 9200))
    data, to = s.recvfrom(100)
    while True:
        try: s.sendto(b'push', to)
        except OSError: pass
        time.sleep(0.05)
for address in args['addresses']: threading.Thread(target=push, args=(address,), daemon=True).start()
`;

export const flowRows = (at: () => BypassSite): void => {
  describe('row 20: flows that live when the policy changes', () => {
    let site: BypassSite;
    before(async () => {
      site = at();
      await site.under(first);
      await site.server.run(push, { addresses: families.map((f) => attackerHost[f]) });
    });

    test('what the new one does not permit is cut, to and from the agent; the rest goes on', async () => {
      await site.agent.run(open, { echo: echoHost });
      assert.deepEqual(await site.agent.run(say), [], 'control');
      await site.agent.run(
        `
pushed = []
for to in args['to']:
    s = socket.socket(family_of(to), socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((to, 9200))
    s.send(b'hello')
    for _ in range(3): s.recv(10)
    pushed.append(s)
`,
        { to: families.map((f) => attackerHost[f]) },
      );
      const since = await site.watch();
      await site.under(then);
      const silent = await site.agent.run<readonly string[]>(say);
      assert.deepEqual(
        silent.toSorted(),
        ['http', 'tcp', 'tls', 'udp'].flatMap((kind) => [`${kind} 4`, `${kind} 6`]),
      );
      const heard = await site.agent.run<number>(`
result = 0
for s in pushed:
    s.setblocking(False)
    # What had come before is still there.
    while True:
        try: s.recv(10)
        except OSError: break
    s.settimeout(0.2)
    for _ in range(3):
        try: result += len(s.recv(10)) > 0
        except OSError: pass
`);
      assert.equal(heard, 0, 'a server that goes on sending is not heard any more');
      const cut = (await since.records()).filter(({ reason }) => reason === 'flow-cut');
      const ports = new Set(cut.map((one) => (one.kind === 'flow' ? one.destination.port : 0)));
      for (const port of [443, 80, 5000, 7, 9200]) assert.ok(ports.has(port), `${port} among ${[...ports]}`);
      // The old policy back again: what was cut stays cut, and new flows come about.
      await site.under(first);
      assert.equal((await site.agent.run<readonly string[]>(say)).filter((name) => /^t/.test(name)).length, 4);
      await site.agent.run(open, { echo: echoHost });
      assert.deepEqual(await site.agent.run(say), []);
    });
  });
};
