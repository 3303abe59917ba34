/** Hours over midnight and over the days when clocks are changed, as the kernel keeps them: by a gateway whose clock stands just before. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { cofferdam, containedUnavailable } from './contained.ts';
import { fetched, type GatewayLab, gatewayPolicy, startGatewayLab, talker } from './gateway-lab.ts';

const skip = containedUnavailable();

/** `changes`: an instant at which the rule opens, or ends, or does neither though a clock on the wall says so. */
const days: readonly {
  readonly what: string;
  readonly schedule: string;
  readonly changes: string;
  readonly open: readonly [before: boolean, after: boolean];
}[] = [
  {
    what: 'hours of a Saturday that go on into Sunday end there',
    schedule: 'timezone: Europe/London, days: [sat], from: "22:00", until: "01:00"',
    changes: '2026-01-18T01:00:00Z',
    open: [true, false],
  },
  {
    what: 'hours from midnight on begin with their day',
    schedule: 'timezone: Asia/Kolkata, days: [mon], from: "00:00", until: "06:00"',
    changes: '2026-06-07T18:30:00Z',
    open: [false, true],
  },
  {
    what: 'hours that end in the hour which spring skips end where it begins',
    schedule: 'timezone: Europe/London, from: "00:00", until: "01:30"',
    changes: '2026-03-29T01:00:00Z',
    open: [true, false],
  },
  {
    what: 'hours go on through the hour that autumn repeats',
    schedule: 'timezone: Europe/London, from: "00:00", until: "02:00"',
    changes: '2026-10-25T01:00:00Z',
    open: [true, true],
  },
];

/** Milliseconds from the start of the process to the instant: a start takes some of them, and what is open has to be seen open first. */
const ahead = 12_000;

describe('the calendar of a gateway of a network', { skip, timeout: 170_000 }, () => {
  let g: GatewayLab;
  before(async () => {
    g = await startGatewayLab();
  });
  after(async () => {
    await g?.stop();
  });

  for (const { what, schedule, changes, open } of days)
    test(what, async () => {
      await g.write(
        gatewayPolicy([
          `from: [workers], to: [public-internet], web: [named], protocol: tcp, ports: [5000], schedule: { ${schedule} }`,
          'to: [public-internet], web: [named], protocol: tcp, ports: [443]',
        ]),
      );
      const began = Date.now();
      const preload = join(g.lab.directory, 'calendar.mjs');
      await writeFile(
        preload,
        `const now = Date.now;
         Date.now = () => now() + ${Date.parse(changes) - ahead - began};`,
      );
      const env = { NODE_OPTIONS: `--import=${preload}` };
      const gateway = g.lab.spawn('host', [cofferdam, ...g.words()], { env });
      await gateway.waitFor(/gateway gateway stands: .*rule/);
      const untilThen = (): number => began + ahead - Date.now();
      const live = talker(g.a, 'echo.example', 5000);
      if (open[0]) await live.waitFor(/^3$/m, 5000);
      else await live.ended;
      assert.match(await fetched(g.a, g.lab, 'https://example.com/', '-4'), /"server":"web"/);
      assert.ok(untilThen() > 1500, 'the machine is too slow for this test');
      await pause(untilThen() - 1000);
      if (open[0]) assert.doesNotMatch(live.stdout(), /ended/, 'a second before');
      await pause(untilThen() + 1500);
      if (open[0] && !open[1]) assert.match(live.stdout(), /ended (ConnectionResetError|BrokenPipeError)/, 'cut');
      if (open[0] && open[1]) assert.doesNotMatch(live.stdout(), /ended/, 'it goes on');
      if (!open[0]) {
        const again = talker(g.a, 'echo.example', 5000);
        await again.waitFor(/^2$/m, 5000);
        await again.kill();
      }
      assert.match(await fetched(g.a, g.lab, 'https://example.com/', '-4'), /"server":"web"/, 'the rest goes on');
      await live.kill();
      await gateway.kill('SIGTERM');
      await gateway.ended;
      await g.remove();
    });
});
