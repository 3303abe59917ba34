/** Honest hellos of any size, cut in any way, go through, and so does the second where the server asks for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { families, type HelloSite, ports } from './hello-site.ts';

/** Handshakes and requests with the hello cut as told; the status codes, or what went wrong. */
export const requests = (
  site: HelloSite,
  cuts: readonly (readonly number[])[],
  more: { fill?: number; record?: number; family?: 4 | 6 } = {},
) =>
  site.agent.run<string[]>(
    `
    result = []
    for sizes in args['cuts']:
        tls = Tls('example.com', args['fill'])
        hello = records_of(tls.hello, args['record']) if args['record'] else tls.hello
        try:
            s = dial('example.com', 443, args['family'], 20)
            for piece in pieces_of(hello, sizes): s.sendall(piece)
            result.append(str(tls.get(s)))
            s.close()
        except OSError as e:
            result.append(repr(e))
    `,
    {
      cuts,
      fill: more.fill ?? 0,
      record: more.record ?? 0,
      family: more.family === undefined ? 0 : more.family === 6 ? 10 : 2,
    },
    60_000,
  );
export const allSucceed = (outcomes: readonly string[], count: number): void =>
  assert.deepEqual([...new Set(outcomes)], ['200'], `${outcomes.length} of ${count}`);

export const honestHellos = (at: () => HelloSite): void => {
  test('cut in two at every seventh offset and around the name', async () => {
    const length = await at().agent.run<number>(`result = len(Tls('example.com').hello)`);
    const name = await at().agent.run<number>(`result = Tls('example.com').hello.index(b'example.com')`);
    const offsets = new Set(Array.from({ length: Math.floor(length / 7) }, (_, i) => 1 + i * 7));
    for (let i = name - 10; i < name + 13; i += 1) offsets.add(i);
    for (const offset of [1, 2, 3, 4, 5, 6, 9, 43, length - 1]) offsets.add(offset);
    const cuts = [...offsets].filter((offset) => offset > 0 && offset < length).map((offset) => [offset, length]);
    allSucceed(await requests(at(), cuts), cuts.length);
  });

  for (const family of families) {
    test(`one byte a segment, one byte a record, both, and several records, over IPv${family}`, async () => {
      allSucceed(await requests(at(), [[1]], { family }), 1);
      allSucceed(await requests(at(), [[100_000]], { family, record: 1 }), 1);
      allSucceed(await requests(at(), [[1]], { family, record: 1 }), 1);
      allSucceed(await requests(at(), [[700], [10, 3, 500]], { family, record: 100 }), 2);
    });
    test(`of 2 KB and 18 KB, whole and in small segments, over IPv${family}`, async () => {
      for (const [fill, least] of [
        [1700, 2000],
        [17_500, 17_800],
      ] as const) {
        assert.ok(
          (await at().agent.run<number>(`result = len(Tls('example.com', args['fill']).hello)`, { fill })) >= least,
        );
      }
      allSucceed(await requests(at(), [[100_000], [1200], [100]], { family, fill: 1700 }), 3);
      allSucceed(await requests(at(), [[100_000], [1200], [100]], { family, fill: 17_500 }), 3);
    });
  }

  test('two hellos, where the server asks for another key share', async () => {
    const seen = await at().agent.run<{ status: number; flights: number }>(
      `
      tls = Tls('example.com')
      s = dial('example.com', args['port'], socket.AF_INET)
      s.sendall(tls.hello)
      first = s.recv(65536)
      assert bytes.fromhex('cf21ad74e59a6111') in first, first.hex()
      tls.inward.write(first)
      result = {'status': tls.get(s), 'flights': 2}
      `,
      { port: ports.realRetry },
    );
    assert.equal(seen.status, 200);
  });
};
