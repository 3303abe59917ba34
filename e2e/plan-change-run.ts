/**
 * Run inside the lab's host: a gateway without a sandbox, a client in its agent namespace that keeps a connection, and a second
 * plan that no longer permits it. Prints what the client saw as one line of JSON.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { compile } from '@cofferdam/compiler';
import { kernelObjectFile, topology } from '@cofferdam/datapath';
import type { AnyRecord } from '@cofferdam/flows';
import { commandAddresses, gatewayAddresses, startRunGateway } from '@cofferdam/gateway';
import { parseAddress } from '@cofferdam/net';
import { type LoadedPlan, loadPlan } from '@cofferdam/plan';
import { parsePolicy } from '@cofferdam/policy';

const planOf = (text: string, revision: number): LoadedPlan => {
  const { policy, diagnostics } = parsePolicy([{ file: 'policy.yaml', text }]);
  if (policy === undefined) throw new Error(JSON.stringify(diagnostics));
  const { plan } = compile(policy, {
    workloads: [{ name: 'agent', addresses: commandAddresses, interface: topology.agentInterface, labels: {} }],
    resolved: new Map(),
    dnsMode: 'synthetic',
    gatewayAddresses,
    monitor: false,
    at: Date.now(),
    revision,
    digest: (bytes) => createHash('sha256').update(bytes).digest('hex'),
  });
  return loadPlan(plan);
};

const [first, second, resolver] = process.argv.slice(2);
const records: AnyRecord[] = [];
const gateway = startRunGateway({
  run: process.pid.toString(16).padStart(8, '0'),
  objectFile: kernelObjectFile,
  plan: planOf(first!, 1),
  resolvers: [{ address: parseAddress(resolver!)!, port: 53 }],
  hostPorts: [],
  publish: [],
  emit: (record) => records.push(record),
  warn: (text) => console.error(text),
  isAlive: () => true,
});
const inside = ['nsenter', `--net=${gateway.agentNamespace.path}`, '--'];
const dig = async (): Promise<string> => {
  const child = spawn(inside[0]!, [
    ...inside.slice(1),
    'dig',
    '+short',
    '+tries=1',
    '@198.18.0.1',
    'echo.example',
    'A',
  ]);
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  return text.trim();
};

const client = `
import socket, sys
s = socket.create_connection((sys.argv[1], 7), 5)
s.settimeout(5)
def ask(what):
    try:
        s.send(what); return s.recv(10).decode() or 'closed'
    except OSError as e:
        return type(e).__name__
print(ask(b'one'), flush=True)
for line in sys.stdin:
    print(ask(b'more'), flush=True)
`;
const address = await dig();
const child = spawn(inside[0]!, [...inside.slice(1), 'python3', '-c', client, address]);
const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
const next = async (): Promise<string> => String((await lines.next()).value);
const seen: Record<string, string> = { before: await next() };
gateway.renew(planOf(first!, 2));
child.stdin.write('\n');
seen.same = await next();
gateway.renew(planOf(second!, 3));
child.stdin.write('\n');
seen.after = await next();
child.stdin.end();
await once(child, 'close');
seen.lookup = await dig();
gateway.renew(planOf(first!, 4));
seen.again = (await dig()) === address ? 'same address' : 'another address';
gateway.close();
const cut = records.find((one) => one.kind === 'flow' && one.verdict === 'deny');
console.log(JSON.stringify({ ...seen, reason: cut?.reason ?? 'none' }));
process.exit(0);
