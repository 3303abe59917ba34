/** ClientHellos that change after they were judged, and ClientHellos without an end. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Attacker } from './attacker.ts';
import {
  carries,
  denied,
  type Fate,
  families,
  forged,
  type HelloSite,
  permitted,
  ports,
  treatments,
} from './hello-site.ts';
import type { Kept } from './recorded.ts';

export const changedBytes = (at: () => HelloSite): void => {
  describe('bytes that change after they were judged', () => {
    const judged = forged({ sni: permitted, alpn: ['long-enough-to-hold-a-longer-name'] });
    /** As long as that, so that it can take its place: padding (RFC 7685) makes up for the rest. */
    const bare = forged({ sni: denied, extensions: [{ type: 21, data: new Uint8Array() }] });
    const padding = new Uint8Array((judged.length - bare.length) / 2);
    const delivered = forged({ sni: denied, extensions: [{ type: 21, data: padding }] });

    const swapped = (who: Attacker, host: string, port: number, family: 4 | 6) =>
      who.run<Fate & { port: number }>(
        `
        s = dial(args['host'], args['port'], socket.AF_INET6 if args['family'] == 6 else socket.AF_INET)
        port = s.getsockname()[1]
        swap(s, bytes.fromhex(args['judged']), bytes.fromhex(args['delivered']))
        result = {**fate(s, 2), 'port': port}
        s.close()
        `,
        { host, port, family, judged, delivered },
      );

    for (const family of families) {
      test(`a page rewritten before its retransmission, over IPv${family}`, async () => {
        assert.equal(judged.length, delivered.length);
        // Without a gateway, one hop in front of the spoke's server, the page is swapped on its way.
        const control = at().lab.address('database.internal.example', family);
        await at().behind.run(`recorders[args['address'], 9101] = Recorder(args['address'], 9101)`, {
          address: control,
        });
        await swapped(at().free, control, ports.binds, family);
        const [seen] = await at().behind.run<Kept[]>(`result = recorders[args['address'], 9101].seen()`, {
          address: control,
        });
        assert.equal(seen?.data, delivered, 'control: the server gets the other name');
        for (const treatment of treatments) {
          const sent = await swapped(at().agent, permitted, ports[treatment], family);
          if (at().mode !== 'own') assert.equal(await at().reasonOf(sent.port), 'hello-changed');
          const kept = await at().arrived(at().lab.address(permitted, family), ports[treatment]);
          assert.deepEqual(
            kept.map(({ data }) => data),
            // The proxy has the bytes that it judged already, and they are what it sends.
            [at().mode === 'own' ? judged : ''],
            'not one byte of the other arrived',
          );
        }
      });
    }
  });
};

export const endlessHellos = (at: () => HelloSite): void => {
  describe('hellos without an end', { concurrency: 1 }, () => {
    test('a hello that never ends passes no more than the budget', async () => {
      // A record that announces more and more: 16 KB of one extension, then another.
      const endless = forged({ sni: permitted, keyShareSize: 17_000 }).slice(0, 34_000);
      const sent = await at().say(
        at().agent,
        permitted,
        ports.binds,
        [endless, 'ff'.repeat(8000), 'ff'.repeat(40_000)],
        4,
      );
      const kept = await at().arrived(at().lab.address(permitted), ports.binds);
      if (at().mode === 'own') {
        // Of the hello's name there is one reading; the rest is whoever's.
        assert.ok(kept.every(({ data }) => !carries(data, denied)));
        return;
      }
      assert.notEqual(sent.end, 'open');
      assert.equal(await at().reasonOf(sent.port), 'hello-unreadable');
      assert.ok(kept.at(-1)!.data.length / 2 <= 20_480);
    });

    test('a hello that takes longer than ten seconds', async () => {
      const hello = forged({ sni: permitted });
      await at().agent.run(
        `
        ports_used, slow = [], []
        for host, port in args['to']:
            s = dial(host, port, socket.AF_INET)
            ports_used.append(s.getsockname()[1])
            slow.append(s)
        `,
        { to: [...treatments.map((treatment) => [permitted, ports[treatment]]), ['45.83.64.10', ports.unbound]] },
      );
      const used = await at().agent.run<number[]>('result = ports_used');
      const ends = await at().agent.run<string[]>(
        `
        hello = bytes.fromhex(args['hello'])
        ends = ['open'] * 3
        for at in range(0, 12):
            for i, s in enumerate(slow):
                if ends[i] != 'open': continue
                try: s.sendall(hello[at * 4:at * 4 + 4])
                except OSError as e: ends[i] = errno.errorcode[e.errno]
            time.sleep(1)
        for i, s in enumerate(slow):
            try: s.sendall(hello[48:])
            except OSError as e: ends[i] = errno.errorcode[e.errno]
            if ends[i] == 'open': ends[i] = fate(s, 0.5)['end']
        result = ends
        `,
        { hello },
      );
      assert.equal(ends[2], 'open', 'unbound, it may take its time');
      for (const [i, treatment] of treatments.entries()) {
        assert.notEqual(ends[i], 'open');
        assert.equal(await at().reasonOf(used[i]!), 'undecided-timeout');
        const kept = await at().arrived(at().lab.address(permitted), ports[treatment]);
        // In own mode there is no connection before there is a name.
        assert.equal(kept.length, at().mode === 'own' ? 0 : 1);
        assert.ok(kept.every(({ data }) => data.length / 2 < 48));
      }
    });
  });
};
