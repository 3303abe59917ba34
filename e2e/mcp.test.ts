/** Calls of MCP, with client and server as their SDK makes them, through TLS that a policy opens. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Lab, type LabProcess, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { attacksUnavailable, isFlow } from './attempts.ts';
import { type ContainedResult, runContained } from './contained.ts';

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const url = 'https://example.com:9443/mcp';
const tools = 'web: [tools], protocol: tcp, ports: [9443]';
const policyOf = (...rules: readonly string[]): string => agentPolicy({ web: { tools: ['example.com'] }, rules });

describe('calls of MCP', { skip: attacksUnavailable([]) }, () => {
  let lab: Lab;
  let server: LabProcess;
  before(async () => {
    lab = await startLab();
    const certificate = (name: string): string => join(lab.ca.directory, name);
    server = lab.spawn('internet', [
      process.execPath,
      script('mcp-server.ts'),
      '9443',
      certificate('example.com.pem'),
      certificate('leaf.key'),
    ]);
    await server.waitFor(/listening/);
  });
  after(() => lab?.stop());

  const ask = async (policy: string, ...called: readonly string[]) => {
    const before = server.stdout().length;
    const made = await runContained(lab, {
      policy,
      command: [process.execPath, script('mcp-client.ts'), url, ...called],
      user: 12_345,
    });
    const lines = made.stdout.split('\n').filter((line) => line !== '');
    return { made, said: lines.map((line) => JSON.parse(line)), reached: server.stdout().slice(before) };
  };
  const calls = ({ records }: ContainedResult): readonly string[] =>
    records.filter(isFlow).flatMap(({ kind, verdict, mcp }) => {
      if (kind !== 'request' || mcp.state !== 'known') return [];
      return [`${verdict} ${mcp.value.method} ${mcp.value.tool ?? ''}`.trim()];
    });

  test('the tools that a rule permits can be called, and a call of another is an error that says so', async () => {
    const policy = policyOf(
      `${tools}, http: { methods: [GET, DELETE], paths: ["/mcp"] }`,
      `${tools}, mcp: { methods: [server/discover, initialize, notifications/initialized, tools/list] }`,
      `${tools}, mcp: { methods: [tools/call], tools: [search_code] }`,
    );
    const { made, said, reached } = await ask(policy, 'search_code', 'delete_repo', 'search_code');
    assert.equal(made.code, 0, made.stderr);
    const [list, first, second, third] = said;
    assert.deepEqual(list, { listed: ['search_code'] });
    assert.deepEqual(first, { name: 'search_code', content: [{ type: 'text', text: 'search_code is done' }] });
    assert.deepEqual([second.name, second.code, second.data.code], ['delete_repo', -32_043, 'no-rule']);
    assert.match(second.message, /denied by policy/);
    assert.deepEqual(third, first);
    assert.equal(reached, 'called search_code\ncalled search_code\n');
    assert.deepEqual(calls(made).slice(-3), [
      'permit tools/call search_code',
      'deny tools/call delete_repo',
      'permit tools/call search_code',
    ]);
  });

  test('control: with no rule about calls all of them pass', async () => {
    const { made, said, reached } = await ask(policyOf(tools), 'delete_repo');
    assert.equal(made.code, 0, made.stderr);
    assert.deepEqual(said[0], { listed: ['search_code', 'delete_repo'] });
    assert.deepEqual([reached, calls(made)], ['called delete_repo\n', []]);
  });

  test('one denied tool in a service that is open otherwise', async () => {
    const never = `action: deny, ${tools}, mcp: { methods: [tools/call], tools: [delete_repo] }`;
    const { made, said, reached } = await ask(policyOf(never, tools), 'delete_repo', 'search_code');
    assert.equal(made.code, 0, made.stderr);
    assert.deepEqual([said[0].listed, said[1].data.code], [['search_code'], 'rule-denies']);
    assert.equal(reached, 'called search_code\n');
  });
});
