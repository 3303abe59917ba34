import { type Check, ok, warning } from './check.ts';
import type { Machine } from './machine.ts';

/** One chain of netfilter that forwarded packets pass. */
export interface ForwardChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly policy: string;
}

interface Listed {
  readonly chain?: {
    readonly family: string;
    readonly table: string;
    readonly name: string;
    readonly hook?: string;
    readonly policy?: string;
  };
}

/** Chains at the forward hook that drop by default. `listing`: the JSON of `list chains`. */
export const droppingChains = (listing: unknown): readonly ForwardChain[] =>
  ((listing as { nftables?: readonly Listed[] } | undefined)?.nftables ?? []).flatMap(({ chain }) =>
    chain?.hook === 'forward' && chain.policy === 'drop' && !chain.table.startsWith('cofferdam_')
      ? [{ family: chain.family, table: chain.table, name: chain.name, policy: chain.policy }]
      : [],
  );

/** Container engines and firewalls. Runs put a tagged accept at the head of such chains and take it away; a reload in between loses it. */
export const firewallChecks = (machine: Machine, dropping: readonly ForwardChain[] | undefined): readonly Check[] => {
  const checks: Check[] = [];
  const engines = [
    ['docker', '/var/run/docker.sock'],
    ['podman', '/run/podman/podman.sock'],
    ['containerd', '/run/containerd/containerd.sock'],
  ].filter(([, socket]) => machine.exists(socket!));
  const some = engines.map(([name]) => name).join(', ');
  checks.push(
    ok(
      'network',
      'container engines',
      engines.length === 0 ? 'none running' : `${some}: their sockets are hidden from contained commands`,
    ),
  );
  if (dropping === undefined) {
    checks.push(warning('network', 'forward chains', 'not looked at without root', 'run `sudo cofferdam doctor`'));
  } else if (dropping.length === 0) checks.push(ok('network', 'forward chains', 'none drops by default'));
  else {
    const names = dropping.map(({ family, table, name }) => `${family} ${table} ${name}`).join(', ');
    checks.push(
      ok(
        'network',
        'forward chains',
        `${names}: dropping by default; a run adds an accept of its own there, and takes it away`,
      ),
    );
  }
  const ufw = /^ENABLED=yes/m.test(machine.readText('/etc/ufw/ufw.conf') ?? '');
  checks.push(
    ufw
      ? warning(
          'network',
          'ufw',
          'active: `ufw reload` while a run lives takes its way out away',
          'reload ufw between runs',
        )
      : ok('network', 'ufw', 'not active'),
  );
  const firewalld = machine.exists('/run/firewalld.pid') || machine.exists('/run/firewalld/firewalld.pid');
  checks.push(
    firewalld
      ? warning(
          'network',
          'firewalld',
          'active: `firewall-cmd --reload` while a run lives may take its way out away',
          'reload firewalld between runs',
        )
      : ok('network', 'firewalld', 'not active'),
  );
  return checks;
};
