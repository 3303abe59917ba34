/** Runs on hosts as people have them: behind a firewall that drops by default, behind a VPN that takes all routes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { type Arrival, type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { containedUnavailable, runContained } from './contained.ts';
import { counted, hostState, onHost } from './host-state.ts';

const families = [4, 6] as const;
const policy = agentPolicy({
  web: { permitted: ['example.com'] },
  rules: ['web: [permitted], protocol: tcp, ports: [80, 443]'],
});
/** More than fits into one packet, by the kernel path and by the proxy's, in each family. */
const command = [
  'sh',
  '-c',
  `head -c 200000 /dev/zero > /tmp/body; for url in https://example.com/echo http://example.com/echo; do for family in ${families.join(' ')}; do
    curl -sS -m 8 -$family --data-binary @/tmp/body -o /dev/null -w '%{http_code} %{size_download}\\n' $url
  done; done; curl -sS -m 8 https://www.example.com/ || true`,
];
const allFetched = '200 200000\n'.repeat(4);

/** What `ufw enable` with its defaults makes of nftables through `iptables-nft` and `ip6tables-nft`. */
const ufw = families
  .map((family) => {
    const [table, prefix, icmp] = family === 4 ? ['ip', 'ufw', 'icmp'] : ['ip6', 'ufw6', 'icmpv6'];
    const more =
      family === 4
        ? 'icmp type { destination-unreachable, time-exceeded, parameter-problem, echo-request } counter accept'
        : `ip6 hoplimit 255 icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } counter accept
           icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request } counter accept`;
    const passed = `meta l4proto ${icmp === 'icmp' ? 'icmp' : 'ipv6-icmp'}`;
    return `
      table ${table} filter {
        chain INPUT {
          type filter hook input priority filter; policy drop;
          counter jump ${prefix}-before-input
        }
        chain FORWARD {
          type filter hook forward priority filter; policy drop;
          counter jump ${prefix}-before-forward
          counter jump ${prefix}-reject-forward
        }
        chain OUTPUT {
          type filter hook output priority filter; policy accept;
          oifname "lo" counter accept
          ct state related,established counter accept
          meta l4proto { tcp, udp } ct state new counter accept
        }
        chain ${prefix}-before-input {
          iifname "lo" counter accept
          ct state related,established counter accept
          ct state invalid counter drop
          ${more}
          counter jump ${prefix}-not-local
          counter jump ${prefix}-user-input
        }
        chain ${prefix}-not-local {
          fib daddr type { local, multicast${family === 4 ? ', broadcast' : ''} } counter return
          limit rate 3/minute burst 10 packets counter log prefix "[UFW BLOCK] "
          counter drop
        }
        chain ${prefix}-user-input {
          tcp dport 22 counter accept
        }
        chain ${prefix}-before-forward {
          ct state related,established counter accept
          ${passed} counter accept
          counter jump ${prefix}-user-forward
        }
        chain ${prefix}-user-forward { }
        chain ${prefix}-reject-forward { }
      }`;
  })
  .join('\n');

/**
 * A tunnel without its encryption: a cable whose ends ask for no neighbours, as those of WireGuard do not, and addresses of the host
 * that the internet machine knows only behind it.
 */
const tunnel = ['10.66.0.2', '2a0f:66::2'] as const;
const hardware = ['address', '02:00:00:00:00:66', 'mtu', '1420'];
const openTunnel = async (lab: Lab): Promise<void> => {
  const { host, internet } = lab.machines;
  const ends = ['name', 'tun0', ...hardware, 'netns', host.pid, 'type', 'veth', 'peer', 'name', 'far', ...hardware];
  execFileSync('ip', ['link', 'add', ...ends, 'netns', internet.pid].map(String));
  for (const [machine, device] of [
    ['host', 'tun0'],
    ['internet', 'far'],
  ] as const)
    await lab.exec(machine, ['ip', 'link', 'set', device, 'arp', 'off', 'up']);
  for (const address of tunnel) {
    const prefix = `${address}/${address.includes(':') ? 128 : 32}`;
    await onHost(lab, 'ip', 'address', 'add', prefix, 'dev', 'tun0', ...(address.includes(':') ? ['nodad'] : []));
    await lab.exec('internet', ['ip', 'route', 'add', prefix, 'dev', 'far']);
  }
};

/** What `wg-quick up` does where the peer's `AllowedIPs` are everything. */
const wgQuick = `
  for f in 4 6; do
    if [ $f = 4 ]; then table=ip; own=${tunnel[0]}; everything=0.0.0.0/0; else table=ip6; own=${tunnel[1]}; everything=::/0; fi
    ip -$f route add $everything dev tun0 table 51820
    ip -$f rule add not fwmark 51820 table 51820
    ip -$f rule add table main suppress_prefixlength 0
    nft -f - <<END
      table $table wg-quick-tun0 {
        chain preraw { type filter hook prerouting priority -300; iifname != "tun0" $table daddr $own fib saddr type != local drop; }
        chain premangle { type filter hook prerouting priority -150; meta l4proto udp meta mark set ct mark; }
        chain postmangle { type filter hook postrouting priority -150; meta l4proto udp mark 51820 ct mark set mark; }
      }
END
  done
  sysctl -qw net.ipv4.conf.all.src_valid_mark=1 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1`;

/** What OpenVPN does for \`redirect-gateway def1 ipv6\`: halves and quarters of everything, since they are nearer than the default. */
const openVpn = [
  ...['0.0.0.0/1', '128.0.0.0/1'].map((prefix) => `ip route add ${prefix} dev tun0`),
  ...['::/3', '2000::/4', '3000::/4', 'fc00::/7'].map((prefix) => `ip -6 route add ${prefix} dev tun0`),
].join('\n');

/** What Tailscale does for an exit node: a table of its own in front of the main one. */
const exitNode = `
  for f in 4 6; do
    ip -$f rule add pref 5210 fwmark 0x80000/0xff0000 lookup main
    ip -$f rule add pref 5230 fwmark 0x80000/0xff0000 lookup default
    ip -$f rule add pref 5250 fwmark 0x80000/0xff0000 type unreachable
    ip -$f rule add pref 5270 lookup 52
    ip -$f route add default dev tun0 table 52
  done`;

describe('a run on a host with', { skip: containedUnavailable(), timeout: 100_000 }, () => {
  /** Everything works, nothing that is denied does, and the host is as it was. */
  const works = async (lab: Lab): Promise<readonly Arrival[]> => {
    const before = counted(await hostState(lab));
    const since = await lab.mark();
    const { stdout, stderr } = await runContained(lab, { policy, command, user: 61_234 });
    assert.equal(stdout, allFetched, stderr);
    assert.equal(counted(await hostState(lab)), before);
    const arrivals = await lab.arrivals({ since });
    assert.equal(arrivals.filter(({ kind }) => kind === 'request').length, 4);
    assert.deepEqual(await lab.arrivals({ since, name: 'www.example.com' }), []);
    return arrivals;
  };
  const prepared = async (script: string): Promise<Lab> => {
    const lab = await startLab({ daemons: ['resolver', 'resolver2'] });
    try {
      await openTunnel(lab);
      await onHost(lab, 'sh', '-ec', script);
      return lab;
    } catch (error) {
      await lab.stop();
      throw error;
    }
  };

  test('ufw', async () => {
    await using lab = await prepared('sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1');
    const loaded = await lab.exec('host', ['nft', '-f', '-'], { input: ufw });
    assert.equal(loaded.code, 0, loaded.stderr);
    await works(lab);
  });

  for (const [what, script] of Object.entries({ 'wg-quick': wgQuick, OpenVPN: openVpn, 'an exit node': exitNode }))
    test(`${what}: what it sends goes through the tunnel`, async () => {
      await using lab = await prepared(script);
      for (const family of ['-4', '-6'])
        await onHost(lab, 'curl', '-sS', family, '-m', '8', '-o', '/dev/null', 'http://example.com/control');
      const sources = (arrivals: readonly Arrival[]) =>
        [...new Set(arrivals.filter(({ server }) => server === 'web').map(({ source }) => source.address))].sort();
      assert.deepEqual(sources(await lab.arrivals()), [...tunnel].sort(), 'control: so does what the host sends');
      assert.deepEqual(sources(await works(lab)), [...tunnel].sort());
    });
});
