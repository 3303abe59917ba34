/** What a gateway says of itself, compared with what servers saw and with the records of the run. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readPrometheus, sampleOf } from '@cofferdam/testkit';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { eventually } from './attacker.ts';
import { type ContainedRun, cofferdam, containedUnavailable, startContained } from './contained.ts';

const user = 61_234;

const policy = agentPolicy({
  web: { hub: ['github.com'], pages: ['example.com'], mirror: ['pypi.org'] },
  rules: [
    'name: watched, action: deny, mode: monitor, web: [hub], protocol: tcp, ports: [443]',
    'name: code, web: [hub], protocol: tcp, ports: [443], tls: required',
    'name: pages, web: [pages], protocol: tcp, ports: [80], http: { methods: [GET] }',
    'name: unused, web: [mirror], protocol: tcp, ports: [443]',
    'name: hidden, web: [mirror], protocol: tcp, ports: [8443], log: none',
  ],
});

/** Three connections in the kernel, three requests in the proxy on two, one that no record may tell of, and what nothing permits. */
const script = `
for i in 1 2 3; do curl -sS -m 8 -o /dev/null https://github.com/; done
curl -sS -m 8 -o /dev/null -o /dev/null http://example.com/a http://example.com/b
curl -sS -m 8 -o /dev/null -X POST http://example.com/c
curl -sS -m 8 -o /dev/null https://pypi.org:8443/
for i in 1 2; do curl -sS -m 8 -k -o /dev/null https://45.83.64.10/; done
curl -sS -m 8 -o /dev/null https://gist.github.com/
ls /run/cofferdam/runs >&2 && echo "the state is there"
echo ready
read -r line
`;

interface Told {
  readonly name?: string;
  readonly permitted: number;
  readonly denied: number;
  readonly wouldPermit: number;
  readonly wouldDeny: number;
  readonly last?: string;
}

const counts = ({ permitted, denied, wouldPermit, wouldDeny }: Told) => [permitted, denied, wouldPermit, wouldDeny];

describe('the status of a run', { skip: containedUnavailable() }, () => {
  let lab: Lab;
  let since: number;
  let run: ContainedRun;
  let id: string;

  /** A program of the machine that asks, as some user. */
  const as = (who: number, ...argv: readonly string[]) =>
    lab.exec('host', ['setpriv', `--reuid=${who}`, `--regid=${who}`, '--clear-groups', ...argv]);
  const rules = async (...args: readonly string[]): Promise<{ rules: readonly Told[]; default: Told }> => {
    const { code, stdout, stderr } = await lab.exec('host', [cofferdam, 'rules', ...args, '--json']);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  const byName = (told: readonly Told[]) => Object.fromEntries(told.map((one) => [one.name, counts(one)]));

  before(async () => {
    lab = await startLab();
    since = await lab.mark();
    run = await startContained(lab, { policy, user, command: ['sh', '-c', script] });
    await run.waitFor(/ready/, 60_000);
    id = (await run.records())[0]!.gateway;
  });
  after(() => lab?.stop());

  const arrived = async (kind: 'tls' | 'request', server: string): Promise<number> =>
    (await lab.arrivals({ since, kind, server })).length;

  test('each rule has as many hits as its servers saw', async () => {
    const seen = {
      github: await arrived('tls', 'github'),
      pages: await arrived('request', 'web'),
      mirror: await arrived('tls', 'cdn'),
    };
    // Else nothing here would say anything.
    assert.deepEqual(seen, { github: 3, pages: 2, mirror: 1 });
    await eventually('would-be verdicts of what just ended', async () => {
      const told = await rules('--run', id);
      return told.rules[0]!.wouldDeny === seen.github;
    });
    const { rules: told } = await rules('--run', id);
    assert.deepEqual(byName(told), {
      watched: [0, 0, 0, seen.github],
      code: [seen.github, 0, 0, 0],
      pages: [seen.pages, 0, 0, 0],
      unused: [0, 0, 0, 0],
      hidden: [seen.mirror, 0, 0, 0],
    });
    const began = Date.parse(((await rules('--run', id)) as unknown as { since: string }).since);
    for (const one of told) {
      const isHit = counts(one).some((count) => count > 0);
      assert.equal(one.last !== undefined, isHit, one.name);
      if (one.last !== undefined)
        assert.ok(Date.parse(one.last) >= began && Date.parse(one.last) <= Date.now(), one.last);
    }
  });

  test('the default has what was denied: two connections, a request, and questions', async () => {
    assert.deepEqual(await lab.arrivals({ since, server: 'attacker' }), []);
    const questions = (await run.records()).filter(
      ({ kind, reason }) => kind === 'dns' && reason === 'dns-not-permitted',
    ).length;
    assert.ok(questions > 0);
    const { default: last } = await rules('--run', id);
    assert.deepEqual(counts(last), [0, 2 + 1 + questions, 0, 0]);
  });

  test('the metrics say the same', async () => {
    const { stdout } = await lab.exec('host', [
      'curl',
      '-sS',
      '--unix-socket',
      `/run/cofferdam/runs/${id}/status.sock`,
      'http://gateway/metrics',
    ]);
    const families = readPrometheus(stdout);
    const value = (name: string, labels = {}) => sampleOf(families, `cofferdam_${name}`, labels);
    const hits = (rule: string, outcome: string) => value('rule_hits_total', { ruleset: 'tested', rule, outcome });
    assert.equal(hits('code', 'permitted'), 3);
    assert.equal(hits('pages', 'permitted'), 2);
    assert.equal(hits('watched', 'would-deny'), 3);
    assert.equal(value('gateway_info', { gateway: id, dns_mode: 'synthetic' }), 1);
    assert.equal(value('events_lost_total'), 0);
    assert.equal(value('proxy_decisions_total', { verdict: 'permit', reason: 'rule' }), 2);
    assert.ok(value('records_total', { kind: 'flow' })! > 0);
    assert.doesNotMatch(
      stdout,
      /45\.83\.64\.10|198\.18\.|github\.com|example\.com/,
      'no address and no name is a label',
    );
  });

  test('the user of the run may ask, another may not, and the command itself sees nothing', async () => {
    const own = await as(user, cofferdam, 'rules', '--run', id);
    assert.equal(own.code, 0, own.stderr);
    assert.match(own.stdout, /^TIER +RULE +ACTION +MODE +HITS +DENIED +WOULD HIT +WOULD DENY +LAST HIT\n/);
    assert.match(own.stdout, /tested\/unused +permit +enforce +0 +0 +0 +0 +never\n/);
    const other = await as(user + 1, cofferdam, 'rules', '--run', id);
    assert.deepEqual([other.code, other.stdout], [1, '']);
    assert.match(other.stderr, /it belongs to another user/);
    assert.doesNotMatch(run.stdout(), /the state is there/);
  });

  test('when the run is over nobody answers, and its log says the same', async () => {
    const live = await rules('--run', id);
    run.child.stdin!.end('\n');
    await run.ended;
    const { code, stderr } = await lab.exec('host', [cofferdam, 'rules', '--run', id]);
    assert.equal(code, 1);
    assert.match(stderr, /there is nobody who answers/);
    const logged = await rules('--log', run.logFile);
    const { hidden, unused, ...told } = byName(live.rules);
    assert.deepEqual(byName(logged.rules), told);
    assert.deepEqual(
      [hidden, unused],
      [
        [1, 0, 0, 0],
        [0, 0, 0, 0],
      ],
    );
    assert.deepEqual(counts(logged.default), counts(live.default));
  });

  test('under --monitor the rules show what they would do, also where only the hello tells', async () => {
    const from = await lab.mark();
    const monitored = await startContained(lab, {
      policy,
      user,
      command: ['sh', '-c', script],
      options: ['--monitor'],
    });
    await monitored.waitFor(/ready/, 60_000);
    const { gateway } = (await monitored.records())[0]!;
    const seen = async (kind: 'tls' | 'request', server: string, name?: string): Promise<number> =>
      (await lab.arrivals({ since: from, kind, server, ...(name === undefined ? {} : { name }) })).length;
    const code = await seen('tls', 'github', 'github.com');
    const gist = await seen('tls', 'github', 'gist.github.com');
    const direct = await seen('tls', 'attacker');
    const requests = await seen('request', 'web');
    assert.deepEqual([code, gist, direct, requests], [3, 1, 2, 3]);
    const lifted = (await monitored.records()).filter(
      ({ kind, reason }) => kind === 'dns' && reason === 'dns-not-permitted',
    ).length;
    assert.ok(lifted > 0);
    await eventually('would-be verdicts of what just ended', async () => {
      const { default: last } = await rules('--run', gateway);
      return last.wouldDeny >= gist + direct + 1 + lifted;
    });
    const told = await rules('--run', gateway);
    assert.deepEqual(byName(told.rules), {
      // What goes to an address without a name would have ended at its first packet, since no permit could follow.
      watched: [0, 0, 0, code],
      code: [0, 0, 0, 0],
      pages: [0, 0, requests - 1, 0],
      unused: [0, 0, 0, 0],
      hidden: [0, 0, 1, 0],
    });
    // Everything passed by the default; what no rule would permit, the POST among it, it would deny.
    const all = code + gist + direct + requests + 1 + lifted;
    assert.deepEqual(counts(told.default), [all, 0, 0, gist + direct + 1 + lifted]);
    monitored.child.stdin!.end('\n');
    await monitored.ended;
    const logged = await rules('--log', monitored.logFile);
    assert.deepEqual(counts(logged.default), counts(told.default));
  });
});
