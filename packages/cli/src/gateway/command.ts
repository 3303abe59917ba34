import { resolve } from 'node:path';
import { interfaceIndex } from '@cofferdam/datapath';
import { removeNetworkGateway } from '@cofferdam/gateway';
import { defaultFolder, readAuthorityFile, slotFile } from '../ca/folder.ts';
import { defineCommand } from '../command.ts';
import { dnsModeOf, dnsOption } from '../dns-mode.ts';
import { loadPolicy } from '../load-policy.ts';
import { listed } from '../nearest.ts';
import { RunError } from '../run/options.ts';
import { upstreamResolvers } from '../run/resolvers.ts';
import { openerOf } from '../tls-opening.ts';
import { parseForwards } from './forwarded-zones.ts';
import { parseMetricsAddress } from './metrics-address.ts';
import { gatewayDirectory, standingGateways } from './places.ts';
import { defaultName, serve } from './serve.ts';

const nameShape = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
/** IFNAMSIZ of <linux/if.h> is 16, the final zero among them. */
const interfaceShape = /^[^\s/,]{1,15}$/;
const isInterface = (name: string): boolean => interfaceShape.test(name) && interfaceIndex(name) !== 0;

/** `cofferdam gateway`: the command line around `serve`. */
export const gatewayCommand = defineCommand({
  name: 'gateway',
  summary: 'be the next hop of subnets of agents, which reach only what policy names',
  description: [
    'Moves the agent interfaces into a namespace of its own, with their addresses, and stands there as the next hop of what lives behind them. Agents are known by address and interface, from the `Inventory` documents of the policy. Policy and inventory are read again when they change, and on SIGHUP; what has errors is refused, and the plan in force stays.',
    'The gateway outlives this process: when it ends, the kernel goes on enforcing, and a new start takes over without cutting a flow. `gateway remove` takes it away and gives the interfaces back; nothing is enforced then.',
  ],
  operands: { usage: '[remove]', least: 0, most: 1, completes: ['remove'] },
  options: {
    policy: {
      kind: 'list',
      short: 'p',
      value: 'FILE|DIR',
      completes: 'path',
      summary: 'policy to enforce; several are one set',
    },
    inventory: {
      kind: 'list',
      value: 'FILE',
      completes: 'path',
      summary: 'more files of the same set, for inventory that is kept elsewhere',
    },
    agents: {
      kind: 'list',
      value: 'IFACE',
      summary: 'an interface behind which agents live; several with commas, or given again',
    },
    upstream: {
      kind: 'value',
      value: 'IFACE',
      summary: 'let agents’ traffic leave this machine by this interface only, whatever its routes say',
    },
    name: {
      kind: 'value',
      value: 'NAME',
      summary: `what this gateway is called, where there are several; \`${defaultName}\` where nothing is said`,
    },
    monitor: {
      kind: 'flag',
      summary: 'deny nothing but reserved addresses and the gateway’s own ports, and record what would have been',
    },
    dns: dnsOption(
      'how agents learn names: by addresses that stand for one name, by real addresses that are remembered, or from resolvers of their own; synthetic where nothing is said',
    ),
    resolver: { kind: 'list', value: 'IP', summary: 'ask this resolver instead of those in /etc/resolv.conf' },
    forward: {
      kind: 'list',
      value: 'SUFFIX=IP',
      summary: 'ask this resolver for names below SUFFIX; given again for a second one of the same zone',
    },
    ca: {
      kind: 'value',
      value: 'FILE',
      completes: 'path',
      summary:
        'certificate and key, in PEM, of the authority to open TLS with; that of `cofferdam ca init` where nothing is said',
    },
    metrics: {
      kind: 'value',
      value: 'ADDR:PORT',
      summary: 'tell Prometheus there, under /metrics',
    },
    log: {
      kind: 'value',
      value: 'FILE',
      completes: 'path',
      summary:
        'also append the flow records to FILE, as JSON lines. At 512 MiB it becomes FILE.1, in place of the one before',
    },
  },
  examples: [
    { line: 'sudo cofferdam gateway --policy /etc/cofferdam --agents eth1', what: 'the next hop of one subnet' },
    {
      line: 'sudo cofferdam gateway -p policies/ --agents eth1,eth2 --monitor',
      what: 'of two, to see first what would be denied',
    },
    {
      line: 'sudo cofferdam gateway -p policies/ --agents eth1 --dns track',
      what: 'for agents that need the real addresses of names',
    },
    { line: 'sudo cofferdam gateway remove', what: 'take it away, and give the interfaces back' },
  ],
  exitCodes: { 125: 'the gateway could not be made: policy, privileges, interfaces, kernel' },
  async run({ values, operands, err, fail }) {
    const say = (text: string): void => err.line(`${err.style.dim('cofferdam:')} ${text}`);
    const warn = (text: string): void => say(`${err.style.yellow('warning:')} ${text}`);
    const name = values.name ?? defaultName;
    if (!nameShape.test(name))
      return fail(`--name: \`${name}\` is not a name`, 'use lower-case letters, digits and hyphens, at most 32');
    if (operands.length > 0 && operands[0] !== 'remove')
      return fail(`\`gateway\` does not know \`${operands[0]}\``, 'the only word is `remove`');
    if (process.getuid?.() !== 0)
      return fail('`gateway` needs root, to move interfaces and load the kernel program', 'run it with sudo', 125);
    try {
      if (operands.length > 0) {
        const given = removeNetworkGateway({ name, directory: gatewayDirectory(name) });
        if (given === undefined) {
          const others = standingGateways();
          return fail(
            `there is no gateway \`${name}\` here`,
            others.length === 0 ? 'none stands on this machine' : `there is ${listed(others)}: say which with --name`,
            1,
          );
        }
        say(
          `gateway ${name} is gone; ${given.join(', ')} ${given.length === 1 ? 'is' : 'are'} the host’s again, and nothing is enforced there`,
        );
        return 0;
      }
      const agents = [...new Set(values.agents.flatMap((text) => text.split(',')))];
      if (agents.length === 0)
        return fail(
          '`gateway` needs the interfaces of the agents',
          'say which: `--agents eth1`; `ip -br address` shows what there is',
        );
      const bad = agents.find((one) => !interfaceShape.test(one));
      if (bad !== undefined)
        return fail(`--agents: \`${bad}\` is not the name of an interface`, '`ip -br link` shows what there is');
      const { upstream } = values;
      if (upstream !== undefined && (!isInterface(upstream) || agents.includes(upstream)))
        return fail(
          `--upstream: \`${upstream}\` is no interface that leads out`,
          'name one that this machine keeps; `ip -br link` shows what there is',
        );
      if (values.policy.length === 0)
        return fail('`gateway` needs a policy', 'give a file or a directory: `--policy /etc/cofferdam`');
      const forward = parseForwards(values.forward);
      if (!forward.ok) return fail(`--forward: ${forward.error.message}`, forward.error.help);
      const metrics = values.metrics === undefined ? undefined : parseMetricsAddress(values.metrics);
      if (metrics?.ok === false) return fail(`--metrics: ${metrics.error.message}`, metrics.error.help);
      const authority = await readAuthorityFile(values.ca ?? slotFile(defaultFolder, 'authority'), Date.now());
      if (authority.kind === 'problem') return fail(`--ca: ${authority.message}`, authority.help, 125);
      if (authority.kind === 'none' && values.ca !== undefined)
        return fail(
          `--ca: there is no file \`${values.ca}\``,
          'make one with `cofferdam ca init`, or correct the path',
        );
      const policies = [...values.policy, ...values.inventory];
      const readPolicy = () => loadPolicy({ err, fail }, policies, Date.now())?.policy;
      const first = readPolicy();
      if (first === undefined) return 125;
      if (first.inventory.length === 0)
        return fail(
          'the policy has no inventory, so that the gateway would know no agent',
          'write an `Inventory` document with the addresses of the workloads; `cofferdam schema Inventory` shows its form',
          125,
        );
      return await serve(
        first,
        readPolicy,
        {
          name,
          agents,
          policies,
          monitor: values.monitor,
          dnsMode: dnsModeOf(values.dns),
          resolvers: upstreamResolvers(values.resolver),
          forward: forward.value,
          upstream,
          metrics: metrics?.value,
          log: values.log === undefined ? undefined : resolve(values.log),
          opener: authority.kind === 'kept' ? await openerOf(authority.authority) : undefined,
        },
        { say, warn },
      );
    } catch (e) {
      if (e instanceof RunError) return fail(e.message, e.help, e.code);
      return fail(e instanceof Error ? e.message : String(e), 'check this machine with `sudo cofferdam doctor`', 125);
    }
  },
});
