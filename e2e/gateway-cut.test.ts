/** A changed plan under load: what it still permits loses nothing, and what it does not is over at both ends, idle or not. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { FlowRecord } from '@cofferdam/flows';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { isFlow, lastRecords } from './attempts.ts';
import { containedUnavailable } from './contained.ts';
import { database, type GatewayLab, gatewayPolicy, startGatewayLab } from './gateway-lab.ts';

const skip = containedUnavailable();
const toEcho = 'to: [public-internet], web: [named], protocol: tcp, ports: [5000]';
const toEchoByUdp = 'to: [public-internet], web: [named], protocol: udp, ports: [5000]';
const toServer = 'to: [public-internet, databases], protocol: tcp, ports: ["6000-6009"]';
/** Rules that permit none of this: each plan numbers everything anew. */
const others = (count: number, from: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `to: [spoke], protocol: tcp, ports: [${from + i}]`);

/** Waits for connections and says how each of them ends: a line for each, with the port it came to. */
const server = (host: string): string => `
import socket, sys, threading, time
def serve(port):
    s = socket.socket(socket.AF_INET6 if ':' in '${host}' else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('${host}', port)); s.listen(64)
    while True:
        threading.Thread(target=talk, args=(s.accept()[0], port), daemon=True).start()
def talk(c, port):
    try:
        while True:
            said = c.recv(4096)
            if not said: say('%d closed' % port); return
            c.sendall(said)
    except OSError as e:
        say('%d %s' % (port, type(e).__name__))
# In one piece: another thread may be saying something.
def say(line): sys.stdout.write(line + '\\n')
for port in range(6000, 6010): threading.Thread(target=serve, args=(port,), daemon=True).start()
print('ready', flush=True)
time.sleep(600)
`;

/** One connection: says a word every \`pause\` seconds (0: once), and how it ended. */
const client = (host: string, port: number, pause: number): string => `
import socket, time
c = socket.create_connection(('${host}', ${port}), 5)
c.sendall(b'hello'); c.recv(99)
print('open', flush=True)
c.settimeout(60)
try:
    while True:
        if ${pause}:
            c.sendall(b'x' * 3000); time.sleep(${pause})
        if not c.recv(9000): print('closed', flush=True); break
except OSError as e:
    print(type(e).__name__, flush=True)
`;

/** Datagrams with numbers, and connections one after the other; once it is told to end, what of them was not answered. */
const load = `
import signal, socket, threading, time
where = socket.getaddrinfo('echo.example', 5000, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(where); u.settimeout(0.2)
sent, seen, made, failed, stop = 0, set(), 0, [], False
told = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told.set())
def listen():
    while not stop or len(seen) < sent and time.time() < end + 3:
        try: seen.add(u.recv(99))
        except OSError: pass
def send():
    global sent
    while not stop:
        try: u.send(b'%d' % sent)
        except OSError as e: failed.append('datagram %s' % e)
        sent += 1
        time.sleep(0.001)
def connect():
    global made
    while not stop:
        try:
            c = socket.create_connection(where, 3); c.settimeout(3)
            c.sendall(b'word')
            if c.recv(99) != b'word': failed.append('no answer')
            c.close()
        except OSError as e: failed.append('connection %s' % e)
        made += 1
        time.sleep(0.01)
threads = [threading.Thread(target=t) for t in (listen, send, connect, connect)]
for t in threads: t.start()
print('loaded', flush=True)
told.wait()
end = time.time(); stop = True
for t in threads: t.join()
print('sent', sent, 'lost', sent - len(seen), 'made', made, 'failed', len(failed), failed[:3], flush=True)
`;

describe('a changed plan', { skip, timeout: 170_000 }, () => {
  let g: GatewayLab;
  let gateway: LabProcess;
  before(async () => {
    g = await startGatewayLab();
    await g.write(gatewayPolicy([toEcho, toEchoByUdp, toServer]));
    gateway = await g.start();
  });
  after(async () => {
    await g?.stop();
  });

  let count = 20;
  /** With rules around them that permit nothing more: another number each time, by which the word of the gateway is known. */
  const inForce = async (rules: readonly string[]): Promise<void> => {
    count++;
    const [first, ...rest] = rules;
    const all = [...others(count - rules.length, 7000), first!, ...others(20, 8000), ...rest];
    await g.write(gatewayPolicy(all));
    await gateway.waitFor(new RegExp(`reloaded: ${all.length} rules in force`));
  };

  test('loses no datagram and no connection that it permits, however often it changes', async () => {
    const running = g.a.spawn(['python3', '-uc', load]);
    await running.waitFor(/loaded/);
    for (let i = 0; i < 8; i++) {
      await inForce([toEcho, toEchoByUdp, toServer]);
      await new Promise((done) => setTimeout(done, 150));
    }
    await running.kill('SIGTERM');
    const { stdout, stderr } = await running.ended;
    const said = /sent (\d+) lost (\d+) made (\d+) failed (\d+) (.*)/.exec(stdout);
    assert.ok(said !== null, stderr);
    assert.ok(Number(said[1]) > 500 && Number(said[3]) > 50, `there was load: ${stdout}`);
    assert.deepEqual([said[2], said[4]], ['0', '0'], stdout);
  });

  for (const [where, host] of [
    ['the internet', '104.131.20.7'],
    ['the internet, over IPv6', '2604:a880::7'],
    ['another agent', database[4]],
  ] as const)
    test(`ends what it no longer permits at both ends: a flow to ${where}`, async () => {
      await inForce([toEcho, toServer]);
      const servers =
        host === database[4]
          ? g.b.spawn(['python3', '-uc', server(host)])
          : g.lab.spawn('internet', ['python3', '-uc', server(host)]);
      await servers.waitFor(/ready/);
      const [idle, busy] = [0, 0.05].map((pause, i) =>
        g.a.spawn(['python3', '-uc', client(host, 6000 + i, pause)]),
      ) as [LabProcess, LabProcess];
      await Promise.all([idle.waitFor(/open/), busy.waitFor(/open/)]);
      await inForce([toEcho]);
      const since = Date.now();
      await Promise.all([
        idle.waitFor(/ConnectionResetError/, 3000),
        busy.waitFor(/ConnectionResetError|BrokenPipeError/, 3000),
        servers.waitFor(/^6000 ConnectionResetError$/m, 3000),
        servers.waitFor(/^6001 ConnectionResetError$/m, 3000),
      ]);
      assert.ok(Date.now() - since < 1500, `it took ${Date.now() - since} ms`);
      await servers.kill();
      const cut = lastRecords(await g.records()).filter(
        (one): one is FlowRecord => isFlow(one) && one.kind === 'flow' && one.reason === 'flow-cut',
      );
      for (const port of [6000, 6001]) assert.ok(cut.some(({ destination }) => destination.port === port));
    });
});
