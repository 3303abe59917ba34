import assert from 'node:assert/strict';
import { test } from 'node:test';
import { droppingChains, firewallChecks } from '../src/doctor/firewalls.ts';
import { kernelChecks } from '../src/doctor/kernel.ts';
import type { Machine } from '../src/doctor/machine.ts';
import { nameservers, resolverCheck } from '../src/doctor/resolvers.ts';
import { settingChecks } from '../src/doctor/settings.ts';
import { toolChecks } from '../src/doctor/tools.ts';
import { cofferdam } from './cofferdam.ts';

interface Sketch {
  readonly architecture?: string;
  readonly kernel?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly programs?: readonly string[];
  readonly outputs?: Readonly<Record<string, string>>;
}

/** A machine on which everything is right but what is said. */
const machine = ({
  architecture = 'x64',
  kernel = '6.1.0',
  files = {},
  programs,
  outputs = {},
}: Sketch = {}): Machine => {
  const all: Readonly<Record<string, string>> = {
    '/sys/kernel/btf/vmlinux': '',
    '/usr/lib/libbpf.so.1': '',
    '/usr/lib/libnftables.so.1': '',
    '/usr/lib/libseccomp.so.2': '',
    '/etc/resolv.conf': 'nameserver 192.0.2.53\n',
    '/proc/net/route': 'eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n',
    '/proc/sys/net/ipv6/conf/all/disable_ipv6': '0\n',
    '/proc/sys/net/netfilter/nf_conntrack_max': '262144\n',
    ...files,
  };
  const has = programs ?? ['ip', 'bwrap', 'nsenter', 'setpriv'];
  return {
    architecture,
    kernel,
    uid: 0,
    readText: (path) => all[path],
    exists: (path) => Object.hasOwn(all, path) && all[path] !== '(gone)',
    list: (path) => (path === '/proc/sys/net/ipv4/conf' ? ['all', 'default', 'eth0'] : []),
    program: (name) => (has.includes(name) ? `/usr/bin/${name}` : undefined),
    output: (program, args) => outputs[[program, ...args].join(' ')],
  };
};

const everything = async (sketch: Sketch, ask = async () => true) => {
  const one = machine(sketch);
  return [
    ...kernelChecks(one),
    ...toolChecks(one),
    ...settingChecks(one),
    ...firewallChecks(one, []),
    await resolverCheck(one, ask),
  ];
};

test('a machine on which everything is right', async () => {
  const wrong = (await everything({})).filter(({ status }) => status !== 'ok');
  assert.deepEqual(wrong, []);
});

const rows: readonly [
  what: string,
  sketch: Sketch,
  name: string,
  status: 'ok' | 'warning' | 'problem',
  found: RegExp,
][] = [
  ['an old kernel', { kernel: '5.15.0-91-generic' }, 'version', 'problem', /older than 6\.1/],
  ['6.10 is newer than 6.1', { kernel: '6.10.3' }, 'version', 'ok', /6\.10\.3/],
  ['another architecture', { architecture: 'riscv64' }, 'architecture', 'problem', /riscv64 is not supported/],
  ['arm', { architecture: 'arm64' }, 'architecture', 'ok', /aarch64/],
  ['no BTF', { files: { '/sys/kernel/btf/vmlinux': '(gone)' } }, 'type information', 'problem', /not there/],
  ['no bubblewrap', { programs: ['ip', 'nsenter', 'setpriv'] }, 'bwrap', 'problem', /not found/],
  ['no libbpf', { files: { '/usr/lib/libbpf.so.1': '(gone)' } }, 'libbpf.so.1', 'problem', /not found/],
  [
    'strict reverse path filter',
    { files: { '/proc/sys/net/ipv4/conf/all/rp_filter': '1\n' } },
    'reverse path filter',
    'warning',
    /strict/,
  ],
  [
    'a VPN that sets src_valid_mark',
    { files: { '/proc/sys/net/ipv4/conf/all/src_valid_mark': '1\n' } },
    'src_valid_mark',
    'ok',
    /no harm/,
  ],
  [
    'a VPN that routes by mark',
    {
      outputs: {
        '/usr/bin/ip -4 rule show': '0:\tfrom all lookup local\n32764:\tnot from all fwmark 0xca6c lookup 51820\n',
      },
    },
    'routing by mark',
    'warning',
    /fwmark 0xca6c lookup 51820/,
  ],
  [
    'IPv6 turned off',
    { files: { '/proc/sys/net/ipv6/conf/all/disable_ipv6': '1\n' } },
    'IPv6',
    'warning',
    /turned off/,
  ],
  [
    'forwarding off',
    { files: { '/proc/sys/net/ipv4/ip_forward': '0\n' } },
    'forwarding',
    'ok',
    /off for IPv4: a run turns it on/,
  ],
  [
    'a full connection table',
    { files: { '/proc/sys/net/netfilter/nf_conntrack_count': '262000\n' } },
    'connection tracking',
    'warning',
    /nearly full/,
  ],
  [
    'a small connection table',
    { files: { '/proc/sys/net/netfilter/nf_conntrack_max': '4096\n' } },
    'connection tracking',
    'warning',
    /few/,
  ],
  ['no way out', { files: { '/proc/net/route': '' } }, 'default route', 'warning', /none/],
  ['ufw', { files: { '/etc/ufw/ufw.conf': '# x\nENABLED=yes\n' } }, 'ufw', 'warning', /active/],
  ['firewalld', { files: { '/run/firewalld.pid': '7' } }, 'firewalld', 'warning', /active/],
  [
    'a container engine',
    { files: { '/var/run/docker.sock': '' } },
    'container engines',
    'ok',
    /docker: their sockets are hidden/,
  ],
  ['no resolver', { files: { '/etc/resolv.conf': '# none\n' } }, 'resolvers', 'problem', /none in/],
];

for (const [what, sketch, name, status, found] of rows) {
  test(`${what}: ${status}`, async () => {
    const check = (await everything(sketch)).find((each) => each.name === name);
    assert.equal(check?.status, status);
    assert.match(check.found, found);
    assert.equal(check.fix !== undefined, status !== 'ok', 'what is not right has a fix');
  });
}

test('resolvers that do not answer', async () => {
  const two = { files: { '/etc/resolv.conf': 'nameserver 192.0.2.1\nnameserver 192.0.2.2\n' } };
  const check = async (alive: readonly string[]) =>
    await resolverCheck(machine(two), async (server) => alive.includes(server));
  assert.equal((await check(['192.0.2.1', '192.0.2.2'])).status, 'ok');
  assert.equal((await check(['192.0.2.1'])).status, 'warning');
  assert.equal((await check([])).status, 'problem');
});

test('resolv.conf: zones, comments and words that are no addresses', () => {
  assert.deepEqual(
    nameservers('# nameserver 1.1.1.1\nnameserver fe80::1%eth0\n nameserver\t9.9.9.9 \nnameserver x\nsearch a\n'),
    ['fe80::1', '9.9.9.9'],
  );
});

test('forward chains of others that drop by default', () => {
  const chain = (table: string, hook: string, policy: string) => ({
    chain: { family: 'ip', table, name: 'FORWARD', hook, policy },
  });
  const listing = {
    nftables: [
      { metainfo: {} },
      chain('filter', 'forward', 'drop'),
      chain('other', 'forward', 'accept'),
      chain('filter', 'input', 'drop'),
      chain('cofferdam_guard', 'forward', 'drop'),
    ],
  };
  assert.deepEqual(
    droppingChains(listing).map(({ table }) => table),
    ['filter'],
  );
});

test('the command: every area, a verdict, and JSON that agrees', () => {
  const { code, out } = cofferdam(['doctor']);
  for (const title of ['Privileges', 'Kernel', 'Tools', 'Network', 'Runs'])
    assert.match(out, new RegExp(`^${title}$`, 'm'));
  assert.match(out, /this machine can(not)? contain a process/);
  const json = cofferdam(['doctor', '--json']);
  const { ready, checks, problems } = JSON.parse(json.out);
  assert.equal(json.code, ready ? 0 : 1);
  assert.equal(code, json.code);
  assert.equal(checks.filter(({ status }: { status: string }) => status === 'problem').length, problems);
});
