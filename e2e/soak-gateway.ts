/**
 * A gateway that lives long: agents that talk, fetch and flood, and reloads. For the first third of the time its processes end and come back;
 * the last of them lives on to the end. One connection lives through all of it, what is permitted goes on, and memory stays below its bounds.
 * Run by `make soak`, not by `make test`.
 *
 * `SOAK_MINUTES` sets how long, default 10.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { containedUnavailable } from './contained.ts';
import { database, fetched, type GatewayLab, gatewayPolicy, greeter, startGatewayLab } from './gateway-lab.ts';

const minutes = Number(process.env.SOAK_MINUTES ?? 10);
const mebibyte = 1024 * 1024;

/** What a gateway may take, whatever its agents do. */
const bounds = {
  /** Of the process, resident; docs/sizing.md says so. */
  process: 400 * mebibyte,
  /** Of the kernel program's tables. They are as large as they will ever be from the start. */
  tables: 400 * mebibyte,
  /**
   * Of the last process, between the second quarter of its life and the last, of medians. A few minutes only show how one warms up. What is in use does not
   * grow; what the allocator keeps of what was freed has its steps, of up to 45 MiB.
   */
  growth: 64 * mebibyte,
  /** Of the kernel's own memory, over what it was before the gateway; the whole machine's, so other programs are in it. */
  slab: 512 * mebibyte,
} as const;

interface Sample {
  readonly pid: number;
  readonly process: number;
  readonly tables: number;
  readonly slab: number;
  readonly tracked: number;
}

const number = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN);
const slab = (): number => number(readFileSync('/proc/meminfo', 'utf8'), /^Slab:\s+(\d+) kB/m) * 1024;

/** Undefined: it has gone meanwhile. */
const unlessGone = <T>(look: () => T): T | undefined => {
  try {
    return look();
  } catch (e) {
    if (e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ESRCH')) return undefined;
    throw e;
  }
};

/** Locked memory of the BPF maps that a process holds, each once. */
const tablesOf = (pid: number): number => {
  const maps = new Map<number, number>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    // Connections, and maps of a plan that another takes the place of, close while we look.
    const text = unlessGone(() => {
      const isMap = readlinkSync(`/proc/${pid}/fd/${fd}`) === 'anon_inode:bpf-map';
      return isMap ? readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'ascii') : undefined;
    });
    if (text === undefined || !/^map_id:/m.test(text)) continue;
    maps.set(number(text, /^map_id:\s*(\d+)/m), number(text, /^memlock:\s*(\d+)/m));
  }
  return [...maps.values()].reduce((sum, bytes) => sum + bytes, 0);
};

/** Resident memory and that of the tables. Undefined: the process ended while we looked. */
const memoryOf = (pid: number): Pick<Sample, 'process' | 'tables'> | undefined =>
  unlessGone(() => ({
    process: number(readFileSync(`/proc/${pid}/status`, 'utf8'), /^VmRSS:\s+(\d+) kB/m) * 1024,
    tables: tablesOf(pid),
  }));

/** The gateway's own process, below the one that entered the lab's namespaces. */
const innerOf = ({ child: { pid } }: LabProcess): number | undefined =>
  unlessGone(() => {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return text === '' ? undefined : Number(text.split(' ')[0]);
  });

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
const inMebibytes = (bytes: number): string => `${(bytes / mebibyte).toFixed(1)} MiB`;

const web = 'to: [public-internet], web: [named], protocol: tcp, ports: [80, 443]';
const echo = 'to: [public-internet], web: [named], protocol: tcp, ports: [5000]';
const toDatabase = 'to: [databases], protocol: tcp, ports: [5432]';
const flooded = 'from: [one-family], to: [spoke], protocol: udp';
/** All of them permit what has to go on. */
const policies = [
  gatewayPolicy([web, echo, toDatabase, flooded]),
  gatewayPolicy([web, echo, toDatabase]),
  gatewayPolicy([
    `action: deny, to: [spoke], protocol: any`,
    web,
    echo,
    toDatabase,
    flooded,
    'to: [spoke], protocol: icmp',
  ]),
  gatewayPolicy([
    ...Array.from({ length: 300 }, (_, i) => `action: deny, to: [spoke], protocol: tcp, ports: [${20_000 + i}]`),
    echo,
    web,
    toDatabase,
  ]),
];

/** Says a number every tenth of a second for as long as it lives. */
const talk = `
import socket, time
s = socket.create_connection(('echo.example', 5000), 5)
s.settimeout(5)
i = 0
while True:
    i += 1
    s.sendall(b'%d\\n' % i)
    if not s.recv(99):
        raise SystemExit('closed')
    if i % 100 == 1:
        print(i, flush=True)
    time.sleep(0.1)
`;

/** New connections and datagrams from one agent, permitted and not, as fast as it can, for some seconds. */
const flood = (seconds: number): readonly string[] => [
  'python3',
  '-c',
  `
import os, socket, time
end, n = time.time() + ${seconds}, 0
while time.time() < end:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('10.11.1.14', 0))
    for i in range(100):
        n += 1
        try:
            s.sendto(b'x' * (n % 1400), ('10.20.0.10', 20000 + n % 40000))
            s.sendto(os.urandom(n % 90), ('10.11.1.1', 53))
        except OSError:
            pass
    s.close()
    t = socket.socket()
    t.setblocking(False)
    t.bind(('10.11.1.14', 0))
    try:
        t.connect(('104.131.20.7', 1 + n % 60000))
    except OSError:
        pass
    t.close()
print(n)
`,
];

describe('a gateway that lives long', { skip: containedUnavailable() }, () => {
  let g: GatewayLab;
  before(async () => {
    g = await startGatewayLab();
  });
  after(async () => {
    await g?.stop();
  });

  test(`${minutes} minutes of traffic, floods, reloads and restarts`, {
    timeout: (minutes + 5) * 60_000,
  }, async (context) => {
    const slabBefore = slab();
    await g.write(policies[0]!);
    await greeter(g.b, 5432, 'database');
    let gateway: LabProcess = await g.start();
    const live = g.a.spawn(['python3', '-uc', talk]);
    await live.waitFor(/^1$/m);
    const samples: Sample[] = [];
    const began = Date.now();
    const lastRestart = began + minutes * 20_000;
    let end = began + minutes * 60_000;
    /** What fails ends the rest. */
    const endingAll = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (e) {
        end = 0;
        throw e;
      }
    };
    let restarting = false;
    let [fetches, reloads, restarts, floods] = [0, 0, 0, 0];

    const sample = async (): Promise<void> => {
      const pid = restarting ? undefined : innerOf(gateway);
      if (pid === undefined) return;
      const memory = memoryOf(pid);
      if (memory === undefined && restarting) return;
      assert.ok(memory !== undefined, 'the gateway ended by itself');
      const tracked = await g.lab.exec('host', ['cat', '/proc/sys/net/netfilter/nf_conntrack_count']);
      samples.push({
        pid,
        ...memory,
        slab: slab(),
        tracked: Number(tracked.stdout),
      });
    };
    const fetching = async (): Promise<void> => {
      while (Date.now() < end) {
        const during = restarting;
        const https = await fetched(g.a, g.lab, 'https://example.com/');
        const http = await fetched(g.a, g.lab, 'http://example.com/');
        const east = await fetched(g.a, g.lab, `telnet://${database[4]}:5432`);
        assert.equal(east, 'database', 'by address, also without any process of the gateway');
        // Names and requests are refused while no process is there; nothing else is an excuse.
        if (!during && !restarting) {
          assert.match(https, /"server":"web"/);
          assert.match(http, /"server":"web"/);
        }
        assert.match(await fetched(g.a, g.lab, 'https://github.com/'), /^curl 6:/);
        fetches += 4;
        await pause(200);
      }
    };
    const changing = async (): Promise<void> => {
      for (let turn = 1; Date.now() < end; turn++) {
        await pause(4000);
        if (turn % 7 === 0 && Date.now() < lastRestart) {
          restarting = true;
          await gateway.kill(turn % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
          await Promise.race([
            gateway.ended,
            pause(20_000, undefined, { ref: false }).then(() => assert.fail('the gateway does not end')),
          ]);
          gateway = await g.start();
          restarting = false;
          restarts++;
        } else {
          await g.write(policies[turn % policies.length]!);
          if (turn % 3 === 0) for (let storm = 0; storm < 10; storm++) await gateway.kill('SIGHUP');
          reloads++;
        }
      }
    };
    const flooding = async (): Promise<void> => {
      while (Date.now() < end) {
        await pause(8000);
        await g.a.exec(flood(4), { timeout: 20_000 });
        floods++;
      }
    };
    const sampling = async (): Promise<void> => {
      while (Date.now() < end) {
        await sample();
        await pause(2000);
      }
    };
    const ends = await Promise.allSettled([fetching, changing, flooding, sampling].map(endingAll));
    for (const one of ends) if (one.status === 'rejected') throw one.reason;

    assert.equal(live.child.exitCode, null, `the connection that lives through it all has ended: ${live.stderr()}`);
    const of = (what: keyof Sample): readonly number[] => samples.map((one) => one[what]);
    const most = (what: keyof Sample): number => Math.max(...of(what));
    const ofLast = samples.filter(({ pid }) => pid === samples.at(-1)!.pid).map((one) => one.process);
    const quarter = Math.ceil(ofLast.length / 4);
    const growth = median(ofLast.slice(-quarter)) - median(ofLast.slice(quarter, 2 * quarter));
    context.diagnostic(
      `${fetches} fetches, ${reloads} reloads, ${restarts} restarts, ${floods} floods, ${samples.length} samples; ` +
        `process at most ${inMebibytes(most('process'))}, the last of them ${inMebibytes(ofLast[0]!)} at first, growth ${inMebibytes(growth)}; tables ${inMebibytes(Math.min(...of('tables')))} to ` +
        `${inMebibytes(most('tables'))}; slab ${inMebibytes(slabBefore)} before, at most ${inMebibytes(most('slab'))}; ` +
        `connections tracked on the host at most ${most('tracked')}`,
    );
    assert.ok(samples.length > minutes * 5, 'memory was looked at all the time');
    assert.ok(ofLast.length > samples.length / 2, 'the last process lived for most of the time');
    assert.ok(fetches > 0 && reloads > 0 && restarts > 0 && floods > 0);
    assert.ok(most('process') < bounds.process, `the process had ${inMebibytes(most('process'))}`);
    assert.ok(
      most('tables') > mebibyte && most('tables') < bounds.tables,
      `the tables had ${inMebibytes(most('tables'))}`,
    );
    assert.ok(minutes < 10 || growth < bounds.growth, `the process grew by ${inMebibytes(growth)}`);
    assert.ok(most('slab') - slabBefore < bounds.slab, `the kernel's memory grew to ${inMebibytes(most('slab'))}`);
  });
});
