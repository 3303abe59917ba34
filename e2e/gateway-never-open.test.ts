/**
 * Whatever part of a gateway of a network dies, freezes or is taken away, nothing passes that the policy denies, and what is permitted goes on
 * where it can and comes back where it cannot.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { eventually } from './attacker.ts';
import { cofferdam, containedUnavailable } from './contained.ts';
import { database, worker } from './gateway-lab.ts';
import { type GatewaySiege, siegePolicy, startSiege, usualRules, withoutHost } from './gateway-siege.ts';

const skip = containedUnavailable();

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
let drawn = seed;
/** From 0 to 1. */
const draw = (): number => {
  drawn = (Math.imul(drawn, 1_103_515_245) + 12_345) >>> 1;
  return drawn / 2 ** 31;
};

describe('a gateway of a network is never open', { skip, timeout: 280_000 }, () => {
  let s: GatewaySiege;
  let gateway: LabProcess;

  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    await gateway.kill(signal);
    await gateway.ended;
  };
  const clear = async (): Promise<void> => {
    await end('SIGTERM');
    await s.clear();
  };

  before(async () => {
    s = await startSiege();
    await s.write(siegePolicy());
  });
  after(() => s?.stop());

  test('control: without a gateway, on a host that forwards, all of it arrives', async () => {
    const forwarding = (on: 0 | 1): Promise<unknown> =>
      s.lab.exec('host', ['sysctl', '-qw', `net.ipv4.ip_forward=${on}`, `net.ipv6.conf.all.forwarding=${on}`]);
    await forwarding(1);
    await eventually('arrivals everywhere', async () => {
      const all = (await s.arrived()).join('\n');
      return [
        'attacker datagram from 10.11.1.7',
        'public-dns query',
        'spoke-wiki datagram',
        'agents of a',
        'agents of b',
      ]
        .concat(['the host', 'wire'])
        .every((one) => all.includes(one));
    });
    await forwarding(0);
    await pause(300);
    await s.forgive();
  });

  describe('its process is killed', () => {
    test('while it serves: permitted flows go on, and new ones by address come about', async () => {
      gateway = await s.fresh();
      await s.holds();
      for (let i = 0; i < 3; i++) {
        await pause(draw() * 800);
        await end('SIGKILL');
        await s.holds();
        assert.deepEqual(await s.silent(), [], 'live flows go on');
        for (const [source, to] of [
          [worker[4], database[4]],
          [worker[6], database[6]],
        ] as const)
          await s.attackers.a.run(
            `
            c = socket.socket(family_of(args['source']), socket.SOCK_STREAM)
            c.bind((args['source'], 0))
            c.settimeout(3)
            c.connect((args['to'], 5432))
            c.sendall(b'new\\n')
            assert c.recv(4) == b'new\\n'
            `,
            { source, to },
          );
        gateway = await s.start();
        assert.deepEqual(await s.silent(), [], 'and after the next start');
      }
      await s.recovers('a start after a kill');
      await s.holds();
      await clear();
    });

    /** Milliseconds that a start and a removal take here: the moments to kill them at are parts of these. */
    const whole = { start: 0, removal: 0 };
    const timed = async (what: keyof typeof whole, work: () => Promise<void>): Promise<void> => {
      const began = performance.now();
      await work();
      whole[what] = performance.now() - began;
    };

    test('(how long a start and a removal take)', async (t) => {
      t.diagnostic(`COFFERDAM_SEED=${seed}`);
      await timed('start', async () => {
        gateway = await s.start();
      });
      await end('SIGTERM');
      await timed('removal', s.clear);
    });

    /** A moment in the later part of something that takes so long: the i-th of n. */
    const moment = (milliseconds: number, i: number, n: number): number =>
      milliseconds * (0.3 + (0.7 * (i + draw())) / n);

    /** Starts a program of ours and kills it after a while. */
    const cutShort = async (words: readonly string[], milliseconds: number): Promise<void> => {
      const started = s.lab.spawn('host', [cofferdam, ...words]);
      await pause(milliseconds);
      await started.kill('SIGKILL');
      await started.ended;
    };

    test('at any moment of its first start', async () => {
      for (let i = 0; i < 6; i++) {
        await s.forgive();
        const milliseconds = moment(whole.start, i, 6);
        await cutShort(s.words(), milliseconds);
        await pause(300);
        assert.deepEqual(withoutHost(await s.arrived()), [], `killed after ${milliseconds} ms`);
        const { stdout } = await s.lab.exec('host', ['ip', '-br', 'link']);
        if (!/^eth[12]@/m.test(stdout)) {
          await s.forgive();
          await s.holds();
        }
        gateway = await s.fresh();
        await clear();
      }
    });

    test('at any moment of a later start: permitted flows go on', async () => {
      gateway = await s.fresh();
      await end('SIGKILL');
      for (let i = 0; i < 5; i++) {
        await cutShort(s.words(), moment(whole.start, i, 5));
        assert.deepEqual(await s.silent(), []);
      }
      await s.holds();
      gateway = await s.start();
      assert.deepEqual(await s.silent(), []);
      await s.recovers('a start after others that were cut short');
      await clear();
    });

    test('in the middle of a reload', async () => {
      gateway = await s.fresh();
      for (let i = 0; i < 4; i++) {
        await s.write(
          siegePolicy(i % 2 === 0 ? [...usualRules, 'to: [spoke], action: deny, protocol: icmp'] : usualRules),
        );
        await gateway.kill('SIGHUP');
        await pause(draw() * 150);
        await end('SIGKILL');
        assert.deepEqual(await s.silent(), []);
        gateway = await s.start();
        assert.deepEqual(await s.silent(), []);
      }
      await s.write(siegePolicy());
      await s.holds();
      await s.recovers('reloads that were cut short');
      await clear();
    });

    test('in the middle of its removal', async () => {
      for (let i = 0; i < 4; i++) {
        gateway = await s.fresh();
        await end('SIGTERM');
        await cutShort(['gateway', 'remove'], moment(whole.removal, i, 4));
        // What is on the host again is reached by agents; nothing else is.
        assert.deepEqual(withoutHost(await s.arrived()), []);
        gateway = await s.fresh();
        await clear();
      }
    });
  });
});
