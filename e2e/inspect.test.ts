/** TLS that a policy opens, from clients as they are installed: none of them is told anything but by the sandbox that it runs in. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { arrivedSince, attacksUnavailable, brief, isFlow } from './attempts.ts';
import { type ContainedResult, runContained } from './contained.ts';

const skip = attacksUnavailable(['curl']);
const person = 12_345;

const policy = agentPolicy({
  web: { api: ['api.github.com'], site: ['github.com'] },
  rules: [
    'web: [api], protocol: tcp, ports: [443], http: { methods: [GET], paths: ["/repos/acme/**"] }',
    'web: [site], protocol: tcp, ports: [443]',
  ],
});

describe('TLS that a policy opens', { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab?.stop());

  const run = (...command: readonly string[]): Promise<ContainedResult> =>
    runContained(lab, { policy, command, user: person });
  const requests = async (since: number) => brief(await arrivedSince(lab, since, ['request']));
  const verdicts = ({ records }: ContainedResult): readonly string[] =>
    records
      .filter(isFlow)
      .filter(({ kind, end }) => kind === 'request' || end !== undefined)
      .map(({ kind, verdict, reason, treatment }) => `${kind} ${verdict} ${reason}${treatment ? ` ${treatment}` : ''}`)
      .sort();
  const permitted = 'https://api.github.com/repos/acme/tools';
  const denied = 'https://api.github.com/repos/evil/drop';

  const clients: Readonly<Record<string, (url: string) => readonly string[]>> = {
    curl: (url) => ['curl', '-sS', '--http1.1', url],
    'python, urllib': (url) => [
      'python3',
      '-c',
      'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read())',
      url,
    ],
    'node, fetch': (url) => [
      process.execPath,
      '-e',
      'fetch(process.argv[1]).then(async (r) => { console.log(r.status, await r.text()); process.exit(r.ok ? 0 : 1) })',
      url,
    ],
  };
  for (const [what, command] of Object.entries(clients)) {
    describe(what, () => {
      test('what a rule permits arrives', async () => {
        const since = await lab.mark();
        const made = await run(...command(permitted));
        assert.equal(made.code, 0, made.stderr);
        assert.deepEqual(await requests(since), ['github-api:443 request GET api.github.com/repos/acme/tools']);
        assert.deepEqual(verdicts(made), ['flow permit rule inspect', 'request permit rule']);
      });

      test('what none permits does not, and the client is told why', async () => {
        const since = await lab.mark();
        const made = await run(...command(denied));
        assert.match(made.stdout + made.stderr, /403|denied by policy/);
        assert.deepEqual(await requests(since), []);
        assert.deepEqual(verdicts(made), ['flow deny no-rule inspect', 'request deny no-rule']);
      });
    });
  }

  test('what no rule reads is not opened', async () => {
    const since = await lab.mark();
    const made = await run('curl', '-sS', '--http1.1', 'https://github.com/');
    assert.equal(made.code, 0, made.stderr);
    assert.deepEqual(await requests(since), ['github:443 request GET github.com/']);
    assert.ok(made.records.filter(isFlow).every(({ path }) => path === 'kernel'));
  });

  test('a policy that opens nothing changes nothing that the command trusts', async () => {
    const words =
      'env | grep -c cofferdam-author; ls /dev | grep -c cofferdam; grep -c . /etc/ssl/certs/ca-certificates.crt';
    const made = await runContained(lab, {
      policy: agentPolicy({ web: { site: ['github.com'] }, rules: ['web: [site], protocol: tcp, ports: [443]'] }),
      command: ['sh', '-c', words],
      user: person,
    });
    const outside = await lab.exec('host', ['sh', '-c', 'grep -c . /etc/ssl/certs/ca-certificates.crt']);
    assert.deepEqual(made.stdout.split('\n').slice(0, 2), ['0', '0']);
    assert.equal(made.stdout.split('\n')[2], outside.stdout.trim());
  });

  test('the key of the authority is nowhere that the command can look', async () => {
    const made = await run(
      'sh',
      '-c',
      'cat /dev/cofferdam-author* | grep -c "PRIVATE KEY"; ls -la /dev/cofferdam-author*',
    );
    assert.match(made.stdout, /^0\n/);
    assert.match(made.stdout, /-rw-r--r-- .*cofferdam-authority\.pem/);
  });
});
