import { type Check, ok, problem, warning } from './check.ts';
import { droppingChains, type ForwardChain } from './firewalls.ts';

/** What only trying can tell. */
export interface Trial {
  readonly checks: readonly Check[];
  /** Undefined where the host's chains could not be listed. */
  readonly dropping: readonly ForwardChain[] | undefined;
  /** Runs that have something in the host's netfilter, alive or not. */
  readonly runsInHost: readonly string[];
}

const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!.trim();

const attempt = (name: string, fix: string, work: () => string): Check => {
  try {
    return ok('kernel', name, work());
  } catch (error) {
    return problem('kernel', name, messageOf(error), fix);
  }
};

/**
 * Makes a network namespace that nothing else sees, and in it what a run makes: the rules of the gateway, the kernel program, its hooks. It is
 * gone when this returns. As root only.
 */
export const tryEverything = async (): Promise<Trial> => {
  let datapath: typeof import('@cofferdam/datapath');
  try {
    datapath = await import('@cofferdam/datapath');
  } catch (error) {
    const check = problem('kernel', 'libraries', messageOf(error), 'install libbpf1 and libnftables1');
    return { checks: [check], dropping: undefined, runsInHost: [] };
  }
  const {
    createNetworkNamespace,
    currentNetworkNamespace,
    gatewayRuleset,
    kernelObjectFile,
    openKernel,
    openNftables,
  } = datapath;
  const { createRunNetwork, topology } = datapath;
  const checks: Check[] = [];

  checks.push(
    attempt(
      'network namespaces',
      'use a kernel with CONFIG_NET_NS, and run as real root, not inside a container',
      () => {
        createNetworkNamespace().close();
        return 'can be made';
      },
    ),
  );
  if (checks[0]?.status !== 'ok') return { checks, dropping: undefined, runsInHost: [] };

  const network = (() => {
    try {
      return createRunNetwork();
    } catch (error) {
      checks.push(problem('kernel', 'virtual links', messageOf(error), 'load the module `veth`, and install iproute2'));
      return undefined;
    }
  })();
  if (network !== undefined) {
    checks.push(ok('kernel', 'virtual links', 'can be made'));
    checks.push(
      attempt(
        'netfilter',
        'use a kernel with nf_tables, nft_tproxy, nft_nat, nft_masq, nft_reject_inet and nft_ct, as modules or built in',
        () => {
          const nft = openNftables(network.gateway);
          try {
            nft.run(
              gatewayRuleset({
                agentInterfaces: [topology.agentInterface],
                uplinkInterface: topology.uplinkInterface,
                proxyPort: topology.proxyPort,
                own4: topology.own4,
                own6: topology.own6,
              }),
            );
          } finally {
            nft.close();
          }
          return 'transparent redirect, translation, tracking and rejects work';
        },
      ),
    );
    checks.push(
      attempt(
        'kernel program',
        'as root, on a kernel with BPF and tc (`sch_clsact`, `cls_bpf`); with `make setup` if the program was not built',
        () => {
          const kernel = openKernel(kernelObjectFile, () => undefined);
          try {
            network.gateway.run(() => kernel.attach(topology.agentInterface));
          } finally {
            kernel.close();
          }
          return 'loads, is verified and attaches';
        },
      ),
    );
    network.close();
  }

  try {
    const host = currentNetworkNamespace();
    const nft = openNftables(host);
    const chains = nft.list('list chains');
    const names = JSON.stringify(nft.list('list tables')).matchAll(/"cofferdam_([0-9a-f]+)"/g);
    nft.close();
    host.close();
    return { checks, dropping: droppingChains(chains), runsInHost: [...names].map(([, run]) => run!) };
  } catch (error) {
    checks.push(warning('kernel', 'host rules', messageOf(error), 'install nftables support on this machine'));
    return { checks, dropping: undefined, runsInHost: [] };
  }
};

/** A command contained as far as the sandbox goes, without a network. */
export const trySandbox = (output: (program: string, args: readonly string[]) => string | undefined): Check =>
  output('bwrap', ['--ro-bind', '/', '/', '--proc', '/proc', '--unshare-pid', '--unshare-ipc', 'true']) === undefined
    ? problem('tools', 'sandbox', 'bubblewrap cannot start a command here', 'run as real root, not inside a container')
    : ok('tools', 'sandbox', 'bubblewrap starts a command with its own processes and mounts');
