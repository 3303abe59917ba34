/** Hours of a schedule that end, and a rule that expires, with every process of the gateway dead; and a clock that is set while it serves. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from './attacker.ts';
import { cofferdam, containedUnavailable } from './contained.ts';
import { type GatewaySiege, siegePolicy, startSiege, usualRules } from './gateway-siege.ts';

const skip = containedUnavailable();
const minute = 60_000;
const timeOfDay = (ms: number): string => new Date(ms).toISOString().slice(11, 16);

describe('hours of a gateway of a network', { skip, timeout: 200_000 }, () => {
  let s: GatewaySiege;
  before(async () => {
    s = await startSiege();
  });
  after(() => s?.stop());

  test('that end while nobody serves it cut what rests on them, on time, and leave the rest', async () => {
    // The start takes some seconds, and what is permitted has to be seen permitted first.
    const until = Math.ceil((Date.now() + 25_000) / minute) * minute;
    const expires = until - 6000;
    const [web, echo, database] = usualRules;
    const hours = `schedule: { timezone: UTC, from: "${timeOfDay(until - 5 * minute)}", until: "${timeOfDay(until)}" }`;
    await s.write(
      siegePolicy([
        web,
        `${echo}, ${hours}`,
        `${database}, expires: ${new Date(expires).toISOString().replace('.000', '')}`,
        'from: [crowd], to: [databases], protocol: tcp, ports: [5432]',
      ]),
    );
    const gateway = await s.fresh();
    await s.holds(1);
    assert.deepEqual(await s.silent(), [], 'control: all is permitted');
    await gateway.kill('SIGKILL');
    await gateway.ended;
    assert.deepEqual(await s.silent(), [], 'control: without our process too');
    assert.ok(Date.now() < expires - 1000, 'the machine is too slow for this test');

    // Servers of the lab close what is idle.
    while (Date.now() < expires - 1500) {
      assert.deepEqual(await s.silent(), [], 'control: all live flows go on without our process');
      await pause(Math.min(2000, Math.max(0, expires - 1000 - Date.now())));
    }
    await pause(expires + 1000 - Date.now());
    const afterExpiry = await s.silent(1);
    assert.deepEqual(
      afterExpiry.map((one) => /to (\S+):/.exec(one)?.[1]),
      ['10.11.2.9', 'fd11:2::9'],
      'the expired rule has no flows left, the others have',
    );
    await pause(until - 1000 - Date.now());
    assert.equal((await s.silent(1)).length, 2, 'a second before the hours end');
    await pause(until + 1000 - Date.now());
    assert.equal((await s.silent(1)).length, 6, 'a second after');
    for (const [source, to, port] of [
      ['10.11.1.7', '10.11.2.9', 5432],
      ['fd11:1::7', 'fd11:2::9', 5432],
    ] as const) {
      const tried = await s.attackers.a.attempt(
        `
        c = socket.socket(family_of(args['to']), socket.SOCK_STREAM)
        c.bind((args['source'], 0))
        c.settimeout(2)
        c.connect((args['to'], args['port']))
        `,
        { source, to, port },
      );
      assert.ok('error' in tried, 'no new ones either');
    }
    // Another agent’s rule for the same server has no hours.
    await s.attackers.a.run(`
      c = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
      c.bind(('10.11.1.20', 0))
      c.settimeout(3)
      c.connect(('10.11.2.9', 5432))
      c.sendall(b'said\\n')
      assert c.recv(5) == b'said\\n'
    `);
    await s.holds(1);
  });

  test('follow a clock that is set: what is over by the new one is cut, and what is on again opens', async () => {
    await s.clear();
    const [web, echo, database] = usualRules;
    const now = Date.now();
    const hours = (from: number, until: number): string =>
      `schedule: { timezone: UTC, from: "${timeOfDay(now + from * minute)}", until: "${timeOfDay(now + until * minute)}" }`;
    const later = 'from: [crowd], to: [databases], protocol: tcp, ports: [5432]';
    await s.write(siegePolicy([web, `${echo}, ${hours(-60, 60)}`, database, `${later}, ${hours(60, 180)}`]));
    // In that process alone: the machine's clock is everybody's.
    const [preload, trigger] = ['mjs', 'set'].map((end) => join(s.lab.directory, `clock.${end}`)) as [string, string];
    await writeFile(
      preload,
      `import { existsSync } from 'node:fs';
       const now = Date.now;
       Date.now = () => now() + (existsSync(${JSON.stringify(trigger)}) ? 2 * 3600_000 : 0);`,
    );
    const gateway = s.lab.spawn('host', [cofferdam, ...s.words()], { env: { NODE_OPTIONS: `--import=${preload}` } });
    await gateway.waitFor(/gateway gateway stands: .*rule/);
    await s.forgive();
    await s.recovers('a start');
    const asked = `
      c = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
      c.bind(('10.11.1.20', 0))
      c.settimeout(3)
      c.connect(('10.11.2.9', 5432))
    `;
    const reached = async (): Promise<boolean> => 'value' in (await s.attackers.a.attempt(asked));
    assert.equal(await reached(), false, 'control: not yet');
    assert.deepEqual(await s.silent(), [], 'control');
    await writeFile(trigger, '');
    await gateway.waitFor(/the clock was set.*: 4 rules in force/);
    assert.equal((await s.silent(1)).length, 4, 'flows to the echo server are over');
    await eventually('what begins later has begun', reached);
    await s.holds(1);
    await gateway.kill('SIGTERM');
    await gateway.ended;
  });
});
