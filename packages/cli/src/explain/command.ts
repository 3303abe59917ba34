import { defineCommand, jsonOption } from '../command.ts';
import { dnsOption } from '../dns-mode.ts';

export const explainCommand = defineCommand({
  name: 'explain',
  summary: 'say what would become of one connection, and why',
  description: [
    'Walks the rules for one connection and shows, rule by rule, why it did not match, waited, was monitored or decided. Nothing is sent and no name is looked up: a name stands for an address of the public internet, or for one that its rule asks for, unless `--address` says which.',
    'What the client says after connecting is assumed from the port (TLS asking for the name, plain HTTP on port 80, neither where another protocol is usual) unless `--sni`, `--no-tls`, `--method` or `--url` say it.',
    'With `--dns track`, `--to NAME` means that the agent was given an address for the name, and `--to ADDRESS` that no answer gave it. With `--dns own` nobody saw what the agent asked: the first packet has an address and no name, and the name that the client asks for says where the gateway connects to.',
    'LOCAL means that no rule is asked: port 53 ends at the DNS filter of the gateway, names of one label and below `.local` are answered there too, and loopback is the command’s own.',
  ],
  operands: { usage: '', least: 0, most: 0 },
  options: {
    policy: {
      kind: 'list',
      short: 'p',
      value: 'PATH',
      completes: 'path',
      summary: 'policy file or directory',
    },
    from: {
      kind: 'value',
      value: 'AGENT',
      summary: 'the agent, or its address; needed where the policy names several',
    },
    to: {
      kind: 'value',
      value: 'NAME|ADDRESS[:PORT]',
      summary: 'where it connects to; an IPv6 address with a port in brackets',
    },
    proto: {
      kind: 'value',
      value: 'PROTOCOL',
      choices: ['tcp', 'udp', 'icmp'],
      summary: 'tcp where nothing is said',
    },
    address: { kind: 'value', value: 'IP', summary: 'what the name resolves to' },
    sni: { kind: 'value', value: 'NAME', summary: 'the name the client asks for in TLS, where it is another' },
    'no-tls': { kind: 'flag', summary: 'the client speaks neither TLS nor HTTP' },
    url: { kind: 'value', value: 'URL', summary: 'the URL of an HTTP request; says `--to` too' },
    method: { kind: 'value', value: 'METHOD', summary: 'the method of the request; GET where only a URL is given' },
    mcp: { kind: 'value', value: 'METHOD', summary: 'the MCP method in the request, such as tools/call' },
    tool: { kind: 'value', value: 'NAME', summary: 'the tool that `tools/call` calls' },
    at: { kind: 'value', value: 'TIME', summary: 'when, such as 2027-01-30T09:00:00Z; now where nothing is said' },
    label: { kind: 'list', value: 'KEY=VALUE', summary: 'a label of the agent' },
    dns: dnsOption('as in `run` and `gateway`: how agents learn names; synthetic where nothing is said'),
    monitor: { kind: 'flag', summary: 'as in `run --monitor`: every rule only watches' },
    all: { kind: 'flag', short: 'a', summary: 'show the rules about other agents too' },
    json: jsonOption,
  },
  examples: [
    {
      line: 'cofferdam explain --policy examples/coding-agent.yaml --to gist.github.com:443',
      what: 'is it permitted, and if not, what would permit it?',
    },
    {
      line: 'cofferdam explain -p policy.yaml --from coding-agent --to "[2606:4700::1111]:853" --proto udp',
      what: 'an IPv6 address and UDP',
    },
    {
      line: 'cofferdam explain -p policy.yaml --url https://api.github.com/repos/acme/site --method POST --at 2027-01-30T09:00:00Z',
      what: 'a request, on a Saturday morning',
    },
    {
      line: 'cofferdam explain -p policy.yaml --to github.com:443 --sni evil.example',
      what: 'domain fronting: connecting to one name and asking for another',
    },
    {
      line: 'cofferdam explain -p policy.yaml --dns track --to 140.82.121.4:443 --sni github.com',
      what: 'an address that no answer gave, where agents have real addresses',
    },
  ],
  exitCodes: { 0: 'explained, whatever the verdict', 1: 'the policy has errors, or no rule is about the agent' },
  run: async (context): Promise<number> => (await import('./explain.ts')).explain(context),
});
