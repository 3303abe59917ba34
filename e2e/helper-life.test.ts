/** What ends a run without sudo, that it ends as a whole, and that nothing of it stays. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { containedUnavailable } from './contained.ts';
import { type HelperLab, startHelperLab } from './helper-lab.ts';

describe('the end of a run without sudo', { skip: containedUnavailable(), timeout: 170_000 }, () => {
  let it: HelperLab;
  before(async () => {
    it = await startHelperLab();
  });
  after(() => it?.stop());

  /** Links, tables and rules that runs have on the host. */
  const traces = async (): Promise<string> =>
    [
      await it.root('sh', '-c', 'ip -o link | grep -o "cfd[0-9a-f]*" || true'),
      await it.root('sh', '-c', 'nft list tables | grep cofferdam || true'),
      await it.root('sh', '-c', 'ip rule | grep "^198:" || true'),
    ].join('');
  const within = async (milliseconds: number, holds: () => Promise<boolean>): Promise<boolean> => {
    for (const end = Date.now() + milliseconds; Date.now() < end; await pause(50)) if (await holds()) return true;
    return await holds();
  };
  const processes = async (pattern: string): Promise<readonly number[]> =>
    (await it.root('sh', '-c', `pgrep -f -- '${pattern}' || true`)).trim().split('\n').filter(Boolean).map(Number);
  const helperOfRun = async (): Promise<number> => {
    const [pid] = await processes('helper --connectio[n]');
    assert.ok(pid !== undefined, 'there is a process that serves the run');
    return pid;
  };

  test('a signal before the command runs ends the run', async () => {
    const started = it.spawn('alice', [it.cofferdam, 'run', '-q', '--policy', it.policy, '--', 'sh', '-c', 'echo ran']);
    // When its process is there, the command is a second away.
    assert.ok(await within(5000, async () => (await processes('helper --connectio[n]')).length > 0));
    await pause(250);
    await started.kill('SIGTERM');
    const { code, stdout } = await started.ended;
    assert.deepEqual([code, stdout], [143, '']);
    assert.ok(
      await within(
        3000,
        async () => (await traces()) === '' && (await processes('helper --connectio[n]')).length === 0,
      ),
    );
  });

  describe('its end', () => {
    const start = async (script = 'echo ready; sleep 4567') => {
      const words = [it.cofferdam, 'run', '-q', '--policy', it.policy, '--', 'bash', '-c', script];
      const started = it.spawn('alice', words);
      await started.waitFor(/ready/);
      assert.ok((await processes('sleep 456[7]')).length > 0, 'control: the command runs');
      assert.notEqual(await traces(), '', 'control: the run has traces on the host');
      return started;
    };
    const isOver = () => within(6000, async () => (await processes('sleep 456[7]')).length === 0);

    test('nothing of an ended run stays', async () => {
      await it.run(['--', 'true']);
      assert.ok(await within(3000, async () => (await traces()) === ''), await traces());
      assert.deepEqual(await processes('helper --connectio[n]'), []);
    });

    test('the caller is killed: the command ends, and everything is undone', async () => {
      const started = await start();
      await started.kill('SIGKILL');
      assert.ok(await isOver());
      assert.ok(await within(3000, async () => (await traces()) === ''), await traces());
    });

    test('the process that serves it is killed: the command ends, and the caller says so', async () => {
      const started = await start();
      await it.root('kill', '-9', String(await helperOfRun()));
      const { code, stderr } = await started.ended;
      assert.equal(code, 125);
      assert.match(stderr, /the helper has gone away/);
      assert.ok(await isOver());
      const links = async () => (await it.root('ip', '-o', 'link')).match(/cfd[0-9a-f]{8}/g) ?? [];
      assert.ok(await within(3000, async () => (await links()).length === 0), `left: ${await links()}`);
      await it.run(['--', 'true']);
      assert.ok(await within(3000, async () => (await traces()) === ''), 'the next run removes its tables');
    });

    test('a process that serves a run is ended in order: so is the run', async () => {
      const started = await start('trap "echo asked; exit 3" TERM; echo ready; sleep 4567 & wait');
      await it.root('kill', '-TERM', String(await helperOfRun()));
      const { code, stdout } = await started.ended;
      assert.deepEqual([code, stdout], [3, 'ready\nasked\n']);
      assert.ok(await isOver());
    });

    test('the helper that listens is killed: runs end, and another can be started', async () => {
      const started = await start();
      await it.helper.kill('SIGKILL');
      await started.ended;
      assert.ok(await isOver());
      assert.ok(await within(3000, async () => (await traces()) === ''), await traces());
      assert.match((await it.run(['--', 'true'])).stderr, /the helper of `run` has been stopped/);
      const again = it.lab.spawn('host', [it.cofferdam, 'helper']);
      await again.waitFor(/without sudo now/);
      assert.equal((await it.run(['--', 'true'])).code, 0, 'the socket that was left behind is replaced');
      await again.kill('SIGTERM');
      assert.equal((await again.ended).code, 0);
      assert.match(await it.root('ls', '/run/cofferdam'), /^runs$/m);
      assert.doesNotMatch(await it.root('ls', '/run/cofferdam'), /helper\.sock/);
    });
  });
});
