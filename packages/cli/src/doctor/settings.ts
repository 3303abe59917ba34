import { type Check, ok, warning } from './check.ts';
import type { Machine } from './machine.ts';

const setting = (machine: Machine, name: string): string | undefined =>
  machine.readText(`/proc/sys/net/${name}`)?.trim();

const forwarding = (machine: Machine): Check => {
  const off = [
    ...(setting(machine, 'ipv4/ip_forward') === '0' ? ['IPv4'] : []),
    ...(setting(machine, 'ipv6/conf/all/forwarding') === '0' ? ['IPv6'] : []),
  ];
  return ok(
    'network',
    'forwarding',
    off.length === 0 ? 'on' : `off for ${off.join(' and ')}: a run turns it on for what runs send alone, and off again`,
  );
};

/** The kernel's own tables: a destination of zeros with a mask of zeros. */
const defaultRoute = (machine: Machine): Check => {
  const four = (machine.readText('/proc/net/route') ?? '')
    .split('\n')
    .some((line) => line.split('\t')[1] === '00000000' && line.split('\t')[7] === '00000000');
  const six = (machine.readText('/proc/net/ipv6_route') ?? '')
    .split('\n')
    .some((line) => /^0{32} 00 /.test(line) && !line.trim().endsWith(' lo'));
  const found = [...(four ? ['IPv4'] : []), ...(six ? ['IPv6'] : [])].join(' and ');
  return found === ''
    ? warning(
        'network',
        'default route',
        'none: runs reach this network alone',
        'add one: `sudo ip route add default via GATEWAY`',
      )
    : ok('network', 'default route', found);
};

const reversePath = (machine: Machine): Check => {
  const strict = machine
    .list('/proc/sys/net/ipv4/conf')
    .filter((name) => name === 'all' && setting(machine, `ipv4/conf/${name}/rp_filter`) === '1');
  return strict.length === 0
    ? ok('network', 'reverse path filter', 'not strict')
    : warning(
        'network',
        'reverse path filter',
        'strict for all interfaces (rp_filter=1): replies that come back another way than they would be sent are dropped, which matters with a VPN or several uplinks',
        'if runs reach nothing: `sudo sysctl net.ipv4.conf.all.rp_filter=2`',
      );
};

const sourceMarks = (machine: Machine): Check =>
  setting(machine, 'ipv4/conf/all/src_valid_mark') === '1'
    ? ok('network', 'src_valid_mark', 'on, as VPN tools set it; runs route by interface and mark, so it does no harm')
    : ok('network', 'src_valid_mark', 'off');

const ipv6 = (machine: Machine): Check => {
  const off = setting(machine, 'ipv6/conf/all/disable_ipv6');
  if (off === '0') return ok('network', 'IPv6', 'on');
  return warning(
    'network',
    'IPv6',
    off === undefined ? 'this kernel has none' : 'turned off on this machine: runs reach IPv4 alone',
    off === undefined
      ? 'nothing is needed if your network has IPv4'
      : 'if it is wanted: `sudo sysctl net.ipv6.conf.all.disable_ipv6=0`',
  );
};

const connections = (machine: Machine): Check => {
  const most = Number(setting(machine, 'netfilter/nf_conntrack_max') ?? Number.NaN);
  const now = Number(setting(machine, 'netfilter/nf_conntrack_count') ?? Number.NaN);
  if (Number.isNaN(most)) return ok('network', 'connection tracking', 'not loaded yet; a run loads it');
  const found = Number.isNaN(now) ? `room for ${most}` : `${now} of ${most} connections`;
  const larger = '`sudo sysctl net.netfilter.nf_conntrack_max=262144`';
  if (!Number.isNaN(now) && now > most * 0.8)
    return warning('network', 'connection tracking', `${found}: nearly full`, larger);
  return most < 16_384
    ? warning('network', 'connection tracking', `${found}: few for busy agents`, larger)
    : ok('network', 'connection tracking', found);
};

/** Rules that choose a route by mark, as VPN tools make them; ours stay in namespaces of their own. */
const routingMarks = (machine: Machine): Check => {
  const ip = machine.program('ip');
  const rules = [4, 6].flatMap((family) =>
    (ip === undefined ? '' : (machine.output(ip, [`-${family}`, 'rule', 'show']) ?? ''))
      .split('\n')
      .filter((line) => line.includes('fwmark'))
      .map((line) => line.trim().replace(/\s+/g, ' ')),
  );
  if (rules.length === 0) return ok('network', 'routing by mark', 'none');
  return warning(
    'network',
    'routing by mark',
    `${rules.length === 1 ? 'a rule chooses' : `${rules.length} rules choose`} routes by mark, as a VPN does: \`${rules[0]}\``,
    'marks of runs stay inside their own namespaces; if runs reach nothing, check that the VPN lets forwarded traffic through',
  );
};

const userNamespaces = (machine: Machine): Check => {
  const restricted = ['/proc/sys/kernel/unprivileged_userns_clone', '/proc/sys/user/max_user_namespaces']
    .map((path) => machine.readText(path)?.trim())
    .includes('0');
  return ok(
    'network',
    'user namespaces',
    restricted ? 'not for ordinary users, which is fine: `run` starts as root' : 'not needed: `run` starts as root',
  );
};

export const settingChecks = (machine: Machine): readonly Check[] => [
  defaultRoute(machine),
  forwarding(machine),
  ipv6(machine),
  reversePath(machine),
  sourceMarks(machine),
  routingMarks(machine),
  connections(machine),
  userNamespaces(machine),
];
