import { resolve } from 'node:path';
import { parseLabels } from '../agent-inventory.ts';
import { defineCommand } from '../command.ts';
import { dnsModeOf, dnsOption } from '../dns-mode.ts';
import { connectToHelper, runByHelper } from '../helper/run-by-helper.ts';
import { loadPolicy } from '../load-policy.ts';
import { type Console, contain } from './contain.ts';
import { parsePort, RunError, type RunOptions } from './options.ts';
import { rootCaller } from './root-caller.ts';

/** `cofferdam run`: the command line around `contain`. */
export const runCommand = defineCommand({
  name: 'run',
  summary: 'run a command that reaches only what its policy names',
  description: [
    'Starts CMD in namespaces of its own, whose only way out is a gateway on this machine. What the policy does not permit is denied, in the kernel, and said on stderr as it happens. The exit code is the one of CMD; 125 means that the run could not be made.',
    'CMD runs as the user who calls (with sudo: the one who called sudo), without capabilities. Members of the group that `cofferdam install` makes need no sudo, and CMD has their variables, HOME and PATH then. Sockets of the machine that could act for it outside are hidden.',
  ],
  operands: { usage: '-- CMD ARGS…', least: 0, most: 0, rest: 'CMD ARGS…' },
  options: {
    policy: {
      kind: 'list',
      short: 'p',
      value: 'FILE|DIR',
      completes: 'path',
      summary: 'policy to enforce; several are one set',
    },
    agent: {
      kind: 'value',
      value: 'NAME',
      summary: 'the workload that CMD is; needed where the policy speaks of several',
    },
    label: { kind: 'list', value: 'KEY=VALUE', summary: 'a label of that workload' },
    monitor: {
      kind: 'flag',
      summary: 'deny nothing but reserved addresses and the gateway’s own ports, and say what would have been',
    },
    dns: dnsOption(
      'how CMD learns names: by addresses that stand for one name, by real addresses that are remembered, or unseen; synthetic where nothing is said',
    ),
    resolver: { kind: 'list', value: 'IP', summary: 'ask this resolver instead of those in /etc/resolv.conf' },
    share: {
      kind: 'list',
      value: 'PATH',
      completes: 'path',
      summary: 'let CMD see a hidden file, directory or socket',
    },
    publish: { kind: 'list', value: 'PORT', summary: 'open a port of CMD on this machine’s 127.0.0.1' },
    'host-port': {
      kind: 'list',
      value: 'PORT',
      summary: 'let CMD reach a TCP port of this machine’s 127.0.0.1 as its own',
    },
    log: {
      kind: 'value',
      value: 'FILE',
      completes: 'path',
      summary:
        'also append the flow records to FILE, as JSON lines; only its owner can read it. At 512 MiB it becomes FILE.1, in place of the one before',
    },
    quiet: {
      kind: 'flag',
      short: 'q',
      summary: 'say nothing on stderr but errors and what puts the containment at risk',
    },
  },
  examples: [
    {
      line: 'sudo cofferdam run --policy examples/coding-agent.yaml -- curl -sS https://api.github.com/zen',
      what: 'one command',
    },
    {
      line: 'sudo cofferdam run -p policies/ --agent coding-agent -- bash',
      what: 'an interactive shell as one of several agents',
    },
    { line: 'sudo cofferdam run -p policies/ --monitor -- ./my-agent', what: 'see what would be denied before it is' },
    {
      line: 'sudo cofferdam run -p p.yaml --host-port 11434 -- ./my-agent',
      what: 'with a model that this machine serves',
    },
    {
      line: 'sudo cofferdam run -p p.yaml --dns track -- ./my-agent',
      what: 'for a program that refuses addresses which stand for names',
    },
  ],
  exitCodes: {
    125: 'the run could not be made: policy, privileges, kernel',
    126: 'CMD could not be executed',
    127: 'CMD was not found',
  },
  async run({ values, rest, err, fail }) {
    const say = (text: string): void => err.line(`${err.style.dim('cofferdam:')} ${text}`);
    const labels = parseLabels(values.label);
    if (!labels.ok) return fail(labels.error.message, labels.error.help);
    try {
      const options: RunOptions = {
        policies: values.policy,
        agent: values.agent,
        labels: labels.value,
        monitor: values.monitor,
        dnsMode: dnsModeOf(values.dns),
        resolvers: values.resolver,
        shares: values.share.map((path) => resolve(path)),
        publish: [...new Set(values.publish.map((text) => parsePort('--publish', text)))],
        hostPorts: [...new Set(values['host-port'].map((text) => parsePort('--host-port', text)))],
        log: values.log === undefined ? undefined : resolve(values.log),
        quiet: values.quiet,
        command: rest,
      };
      if (rest.length === 0 || rest[0] === '')
        return fail(
          '`run` needs a command',
          'write it behind `--`: `cofferdam run --policy p.yaml -- curl https://example.com`',
        );
      if (values.policy.length === 0)
        return fail('`run` needs a policy', 'give a file or a directory: `--policy examples/coding-agent.yaml`');
      const isRoot = process.getuid?.() === 0;
      // Before all else: it is what everybody meets first, and the helper begins while the policy is read.
      const helper = isRoot ? undefined : connectToHelper();
      const loaded = loadPolicy({ err, fail }, values.policy, Date.now());
      if (loaded === undefined) return 125;
      const isEmpty = loaded.policy.rulesets.every(({ rules }) => rules.length === 0);
      if (isEmpty && !values.monitor && !values.quiet)
        say(`${err.style.yellow('warning:')} the policy has no rule: it permits nothing`);
      const console: Console = { say, warn: (text) => say(`${err.style.yellow('warning:')} ${text}`) };
      if (helper !== undefined) return await runByHelper(helper, loaded, options, console);
      return await contain(loaded.policy, rootCaller(options.log, loaded.files), options, console);
    } catch (e) {
      if (e instanceof RunError) return fail(e.message, e.help, e.code);
      const message = e instanceof Error ? e.message : String(e);
      const isTaken = message.includes('EADDRINUSE');
      return fail(
        message,
        isTaken
          ? 'another program has that port: end it, or give another port'
          : 'check this machine with `sudo cofferdam doctor`',
        125,
      );
    }
  },
});
