/**
 * Generated networks of the randomised lab: one to three subnets of agents behind the lab's host, a gateway in front of them, and captures
 * of everything that arrives in a subnet or leaves the host.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { gatewayAddresses } from '@cofferdam/gateway';
import type { Address } from '@cofferdam/net';
import type { EvaluationContext, PolicySet } from '@cofferdam/policy';
import { address, type CapturedFrame, type Draw, readCapture } from '@cofferdam/testkit';
import { joinSubnet, type Lab, type LabProcess, type Machine } from '@cofferdam/testkit/lab';
import { cofferdam } from './contained.ts';

export type Family = 4 | 6;
export const familyOf = (text: string): Family => (text.includes(':') ? 6 : 4);

export interface PlannedWorkload {
  readonly name: string;
  readonly addresses: readonly string[];
}

export interface PlannedSubnet {
  /** As the gateway calls it. */
  readonly device: string;
  readonly vlan: number | undefined;
  /** The gateway's addresses there, without lengths. */
  readonly gateway: readonly string[];
  readonly prefixes: readonly string[];
  readonly workloads: readonly PlannedWorkload[];
  /** Addresses that live there and are in no inventory. */
  readonly strangers: readonly string[];
}

export type DnsMode = EvaluationContext['dnsMode'];
export const dnsModes = ['synthetic', 'track', 'own'] as const satisfies readonly DnsMode[];

export interface PlannedWorld {
  readonly subnets: readonly PlannedSubnet[];
  readonly monitor: boolean;
  readonly dnsMode: DnsMode;
}

/** Whether this kernel has VLAN devices. */
export const hasVlans = async (lab: Lab): Promise<boolean> => {
  const made = await lab.exec('spoke', [
    'ip',
    'link',
    'add',
    'link',
    'eth0',
    'name',
    'tried',
    'type',
    'vlan',
    'id',
    '9',
  ]);
  if (made.code === 0) await lab.exec('spoke', ['ip', 'link', 'del', 'tried']);
  return made.code === 0;
};

/** Sizes: 1 to 3 subnets of 1 to 4 workloads, of one family or both; where `vlans`, a device may be a VLAN of another. */
export const drawWorld = (draw: Draw, vlans: boolean, dnsMode: DnsMode): PlannedWorld => {
  let workloads = 0;
  const subnets = draw.many(1, 3, (index): PlannedSubnet => {
    const families = draw.weighted<readonly Family[]>([
      [[4, 6], 70],
      [[4], 15],
      [[6], 15],
    ]);
    const at = (family: Family, host: number): string =>
      family === 4 ? `10.11.${index + 1}.${host}` : `fd11:${index + 1}::${host}`;
    const vlan = draw.chance(25) && vlans ? 100 + index : undefined;
    const device = `eth${index + 1}`;
    return {
      device: vlan === undefined ? device : `${device}.${vlan}`,
      vlan,
      gateway: families.map((family) => at(family, 1)),
      prefixes: families.map((family) => (family === 4 ? `10.11.${index + 1}.0/24` : `fd11:${index + 1}::/64`)),
      workloads: draw.many(1, 4, (host) => ({
        name: `agent-${workloads++}`,
        addresses: (draw.chance(75) ? families : [draw.pick(families)]).map((family) => at(family, 7 + host)),
      })),
      strangers: families.map((family) => at(family, 250)),
    };
  });
  return { subnets, monitor: draw.chance(7), dnsMode };
};

/** A packet where it arrived: in a subnet, by its index, or beyond the host. */
export interface Seen {
  readonly place: number | 'beyond';
  readonly frame: CapturedFrame;
}

interface Tap {
  readonly place: Seen['place'];
  readonly ownMac: string | undefined;
  readonly fresh: () => Promise<readonly CapturedFrame[]>;
}

/** What tcpdump has written to a file since the last look, in whole packets. */
const follow = (file: string): (() => Promise<readonly CapturedFrame[]>) => {
  let at = 0;
  let header = Buffer.alloc(0);
  return async () => {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const bytes = Buffer.alloc(size - at);
      await handle.read(bytes, 0, bytes.length, at);
      const start = at === 0 ? 24 : 0;
      if (at === 0 && bytes.length < 24) return [];
      if (at === 0) header = bytes.subarray(0, 24);
      let end = start;
      while (end + 16 <= bytes.length && end + 16 + bytes.readUInt32LE(end + 8) <= bytes.length)
        end += 16 + bytes.readUInt32LE(end + 8);
      at += end;
      return end === start ? [] : readCapture(Buffer.concat([header, bytes.subarray(start, end)]));
    } finally {
      await handle.close();
    }
  };
};

const macText = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

export interface JoinedSubnet extends PlannedSubnet {
  readonly machine: Machine;
  /** Its own device, and the hardware addresses of both ends. */
  readonly inside: string;
  readonly mac: string;
  readonly gatewayMac: string;
  readonly agent: LabProcess;
}

export interface RandomWorld {
  readonly lab: Lab;
  readonly planned: PlannedWorld;
  readonly subnets: readonly JoinedSubnet[];
  /** What the policy is judged in, beside itself. */
  readonly context: (policy: PolicySet) => EvaluationContext;
  readonly gateway: () => LabProcess;
  /** Puts a policy in force; its rules must be as many as `rules`, and not as many as those of the policy before. */
  readonly enforce: (text: string, rules: number) => Promise<void>;
  /** Ends the gateway's process and starts another, which takes over. */
  readonly restart: (signal: 'SIGTERM' | 'SIGKILL') => Promise<void>;
  /** Everything that has arrived since the last call. */
  readonly seen: () => Promise<readonly Seen[]>;
  readonly logFile: string;
  readonly stop: () => Promise<void>;
}

const script = join(import.meta.dirname, 'random-lab-agent.py');
let worlds = 0;

const batch = async (on: Pick<Machine, 'exec'>, commands: readonly string[]): Promise<void> => {
  const { code, stderr } = await on.exec(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
  if (code !== 0) throw new Error(`ip: ${stderr}`);
};

const linkMac = async (on: Pick<Machine, 'exec'>, device: string): Promise<string> =>
  (await on.exec(['cat', `/sys/class/net/${device}/address`])).stdout.trim();

const withLength = (text: string): string => `${text}/${familyOf(text) === 4 ? 24 : 64}`;

const joinOne = async (lab: Lab, planned: PlannedSubnet, name: string, machines: Machine[]): Promise<JoinedSubnet> => {
  const { host } = lab.machines;
  const device = planned.device.split('.')[0]!;
  const gateway = planned.gateway.map(withLength);
  const agents = [...planned.workloads.flatMap(({ addresses }) => addresses), ...planned.strangers].map(withLength);
  const machine = await joinSubnet(lab, { name, device, gateway, agents });
  machines.push(machine);
  const inside = planned.vlan === undefined ? 'eth0' : `eth0.${planned.vlan}`;
  if (planned.vlan !== undefined) {
    const tagged = (on: string, prefixes: readonly string[]): string[] => [
      `link add link ${on} name ${on}.${planned.vlan} type vlan id ${planned.vlan}`,
      `address flush dev ${on}`,
      `link set ${on}.${planned.vlan} up`,
      ...prefixes.map((one) => `address add ${one} dev ${on}.${planned.vlan}${familyOf(one) === 6 ? ' nodad' : ''}`),
    ];
    await batch(host, tagged(device, gateway));
    await batch(machine, [
      ...tagged('eth0', agents),
      ...planned.gateway.map((one) => `route replace default via ${one}`),
    ]);
  }
  const agent = machine.spawn(['python3', '-u', script, inside, 'serve']);
  await agent.waitFor(/ready/);
  const [mac, gatewayMac] = await Promise.all([linkMac(machine, inside), linkMac(host, planned.device)]);
  // One machine plays all agents and a stranger: a question that the stranger asks for the gateway's hardware address is not answered, and
  // must not hold up the others, who share the machine's table.
  const known = planned.gateway.map((one) => `neigh replace ${one} lladdr ${gatewayMac} dev ${inside} nud permanent`);
  await batch(machine, known);
  return { ...planned, machine, inside, mac, gatewayMac, agent };
};

const tap = async (
  machine: Machine,
  device: string,
  directory: string,
  place: Seen['place'],
  ownMac?: string,
): Promise<Tap & { readonly process: LabProcess }> => {
  const file = join(directory, `seen-${worlds}-${place}.pcap`);
  const words = [
    '--immediate-mode',
    '--packet-buffered',
    '--relinquish-privileges=root',
    '-n',
    '-s',
    '2048',
    '-B',
    '8192',
  ];
  const process = machine.spawn(['tcpdump', '-i', device, ...words, '-w', file]);
  await process.waitFor(/listening on/);
  return { place, ownMac, fresh: follow(file), process };
};

interface ShownAddress {
  readonly addr_info?: readonly { readonly local?: string }[];
}

/** The host's addresses at this moment: those of this machine, as the gateway finds them when it makes a plan. */
const hostAddresses = async (lab: Lab): Promise<readonly Address[]> => {
  const { stdout } = await lab.exec('host', ['ip', '-json', 'address', 'show']);
  return (JSON.parse(stdout) as ShownAddress[]).flatMap(({ addr_info }) =>
    (addr_info ?? []).flatMap(({ local }) => (local === undefined ? [] : [address(local)])),
  );
};

/** The first policy is put in force by `enforce` too: the gateway begins with one that permits nothing. */
export const startWorld = async (lab: Lab, planned: PlannedWorld): Promise<RandomWorld> => {
  const machines: Machine[] = [];
  const leave = async (): Promise<void> => {
    await Promise.all(machines.splice(0).map((machine) => machine.stop()));
  };
  try {
    return await settle(lab, planned, machines, leave);
  } catch (e) {
    await leave();
    throw e;
  }
};

const settle = async (
  lab: Lab,
  planned: PlannedWorld,
  machines: Machine[],
  leave: () => Promise<void>,
): Promise<RandomWorld> => {
  const number = ++worlds;
  const name = `world-${number}`;
  const directory = join(lab.directory, name);
  const policies = join(directory, 'policies');
  const logFile = join(directory, 'flows.jsonl');
  await lab.exec('host', ['mkdir', '-p', policies]);
  const subnets = await Promise.all(
    planned.subnets.map((one, index) => joinOne(lab, one, `w${number}s${index}`, machines)),
  );
  const write = async (text: string): Promise<void> => {
    const moved = await lab.exec(
      'host',
      ['sh', '-c', `cat >${directory}/next && mv ${directory}/next ${policies}/p.yaml`],
      {
        input: text,
      },
    );
    if (moved.code !== 0) throw new Error(moved.stderr);
  };
  const workloads = planned.subnets.flatMap((one) =>
    one.workloads.map(({ name: workload, addresses }) => ({ name: workload, addresses, interface: one.device })),
  );
  const document = {
    apiVersion: 'cofferdam.dev/v1',
    kind: 'Inventory',
    metadata: { name: 'first' },
    spec: { workloads },
  };
  await write(JSON.stringify(document));
  const taps = await Promise.all([
    tap(lab.machines.internet, 'host', directory, 'beyond'),
    ...subnets.map((one, index) => tap(one.machine, one.inside, directory, index, one.mac)),
  ]);
  const marker = lab.spawn('host', ['python3', '-u', script, 'eth0']);
  await marker.waitFor(/ready/);

  const devices = planned.subnets.map(({ device }) => device).join(',');
  const words = ['--policy', policies, '--agents', devices, '--log', logFile, '--name', name, '--dns', planned.dnsMode];
  const start = async (): Promise<LabProcess> => {
    const started = lab.spawn('host', [cofferdam, 'gateway', ...words, ...(planned.monitor ? ['--monitor'] : [])]);
    await started.waitFor(/gateway world-\d+ (stands|goes on): .*rule/, 20_000);
    return started;
  };
  let gateway = await start();
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    await gateway.kill(signal);
    const late = await Promise.race([gateway.ended.then(() => false), pause(10_000, true, { ref: false })]);
    if (!late) return;
    await gateway.kill('SIGKILL');
    throw new Error(`the gateway does not end on ${signal}:\n${gateway.stderr().slice(-2000)}`);
  };
  const local = await hostAddresses(lab);
  const own = subnets.flatMap((one) => one.gateway.map(address));
  const resolved = (policy: PolicySet): EvaluationContext['resolved'] =>
    new Map(
      [...policy.smartGroups.values()].flatMap(({ any }) =>
        any.flatMap((one) =>
          one.kind === 'hostname' ? [[one.name, lab.addresses(one.name).map((text) => address(text))] as const] : [],
        ),
      ),
    );
  let marks = 0;
  let left: { place: Seen['place']; frames: CapturedFrame[] }[] = taps.map(({ place }) => ({ place, frames: [] }));
  return {
    lab,
    planned,
    subnets,
    logFile,
    gateway: () => gateway,
    context: (policy) => ({
      workloads: policy.inventory,
      resolved: resolved(policy),
      dnsMode: planned.dnsMode,
      gatewayAddresses: [...gatewayAddresses, ...own, ...local],
      monitor: planned.monitor,
    }),
    async enforce(text, rules) {
      const since = gateway.stderr().length;
      await write(text);
      await gateway.kill('SIGHUP');
      const wanted = `reloaded: ${rules} rule${rules === 1 ? '' : 's'} in force`;
      for (const end = Date.now() + 15_000; ; await pause(5)) {
        const said = gateway.stderr().slice(since);
        if (said.includes(wanted)) return;
        if (/not reloaded|refused \(/.test(said)) throw new Error(`the policy was refused:\n${said}\n${text}`);
        if (Date.now() > end) throw new Error(`the policy did not come into force (${wanted}):\n${said}`);
      }
    },
    async restart(signal) {
      await end(signal);
      gateway = await start();
    },
    async seen() {
      const text = `marker-${number}-${++marks}.`;
      for (const process of [marker, ...subnets.map(({ agent }) => agent)])
        process.child.stdin!.write(`${JSON.stringify({ do: 'mark', text })}\n`);
      const end = Date.now() + 10_000;
      await Promise.all(
        taps.map(async ({ fresh, place }) => {
          const list = left.find((one) => one.place === place)!;
          for (;;) {
            const frames = await fresh();
            list.frames.push(...frames);
            if (frames.some(({ bytes }) => Buffer.from(bytes).includes(text))) return;
            if (Date.now() > end) throw new Error(`the capture of ${place} stands still`);
            await pause(3);
          }
        }),
      );
      const all = left.flatMap(({ place, frames }) => frames.map((frame): Seen => ({ place, frame })));
      left = taps.map(({ place }) => ({ place, frames: [] }));
      // What a machine sends itself has not arrived anywhere.
      return all.filter(
        ({ place, frame }) =>
          macText(frame.bytes.subarray(6, 12)) !== taps.find((one) => one.place === place)!.ownMac &&
          !Buffer.from(frame.bytes).includes('marker-'),
      );
    },
    async stop() {
      try {
        await end('SIGTERM');
        const { code, stderr } = await lab.exec('host', [cofferdam, 'gateway', 'remove', '--name', name]);
        if (code !== 0) throw new Error(`gateway remove: ${stderr}`);
      } finally {
        await marker.kill('SIGKILL');
        for (const { process } of taps) await process.kill('SIGKILL');
        // They would go with the machines, but at some later moment, when the next network wants their names.
        for (const { device } of planned.subnets)
          await lab.exec('host', ['ip', 'link', 'delete', device.split('.')[0]!]);
        await leave();
      }
    },
  };
};
