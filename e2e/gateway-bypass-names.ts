/** Names: what is permitted by name works, and one name or address does not stand for another (rows 1, 2, 7). */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { PolicyWords } from './agent-policy.ts';
import { attackerSpellings, hello, hostFields, otherQuestions, request, serverNames } from './attacks/names.ts';
import { type AttemptWords, brief, denialStatus, isFlow } from './attempts.ts';
import { dnsQuestion, replyHead } from './dns-question.ts';
import { type BypassSite, families, gatewayHost, judged, type Try, toAttackers } from './gateway-bypass-site.ts';

const byName = 'web: [named], protocol: tcp, ports: [80, 443]';
const policy: PolicyWords = {
  web: {
    named: [
      ...['example.com', 'pypi.org', 'files.pythonhosted.org', 'echo.example', 'multihomed.example'],
      ...['*.registry.example', 'bücher.example', 'api.models.example'],
    ],
    shared: ['pypi.org'],
    data: ['db.example'],
  },
  to: { mail: ['{ hostname: mail.example }'] },
  rules: [
    byName,
    'from: [others], web: [shared], protocol: tcp, ports: [80, 443]',
    'to: [mail], protocol: tcp, ports: [25]',
    'web: [data], protocol: tcp, ports: [3306]',
  ],
};

/** A customer of the same content network as pypi.org. */
const customer = 'cdn.attacker.example';
const cdn = 'dst host 151.101.0.223 or dst host 2a04:4e42::223';
const attacker = { 4: '45.83.64.10', 6: '2a0e:1d40::10' } as const;

const tls = (host: string, sni: string, family: 4 | 6 = 4): AttemptWords => ({
  protocol: 'tcp',
  host,
  family,
  port: 443,
  send: [hello(sni)],
  patience: 300,
});
const http = (host: string, name: string, family: 4 | 6 = 4, port = 80): AttemptWords => ({
  protocol: 'tcp',
  host,
  family,
  port,
  send: [request(name)],
  patience: 300,
});

export const nameRows = (at: () => BypassSite): void => {
  let site: BypassSite;
  /** What becomes of a client that claims a name which its address does not have. */
  let otherName: string;
  before(async () => {
    site = at();
    otherName = site.mode === 'synthetic' ? 'name-mismatch' : 'no-rule';
    await site.under(policy);
  });

  describe('what is permitted by name works', () => {
    const pages: readonly (readonly [string, string, string])[] = [
      ['TLS', 'https://example.com/', 'web'],
      ['plain HTTP', 'http://example.com/', 'web'],
      ['a wildcard', 'https://packages.registry.example/', 'registry'],
      ['an IDN', 'https://bücher.example/', 'web'],
      ['two names of one address', 'https://pypi.org/', 'cdn'],
      ['and the other one', 'https://files.pythonhosted.org/', 'cdn'],
      ['one name at several servers', 'https://multihomed.example/', 'multihomed'],
    ];
    for (const [what, url, server] of pages)
      test(`${what}: ${url}`, async () => {
        for (const family of families) {
          const { stdout, stderr } = await site.curl(`-${family}`, url);
          assert.match(stdout, new RegExp(`"server":"${server}"`), stderr);
        }
      });

    test('a server that speaks first, by its hostname', async () => {
      const [mail] = await site.attempt([
        {
          protocol: 'tcp',
          host: 'mail.example',
          port: 25,
          afterGreeting: true,
          send: ['EHLO agent.example\r\n', 'QUIT\r\n'],
        },
      ]);
      assert.match(mail!.received, /^220 [\s\S]*221 bye/);
    });

    test('and by its name only where its address has one name', async () => {
      const since = await site.watch();
      const [data] = await site.attempt([
        { protocol: 'tcp', host: 'db.example', port: 3306, afterGreeting: true, patience: 500 },
      ]);
      if (site.mode === 'synthetic') {
        assert.match(data!.received, /8\.0\.36-lab/);
        return;
      }
      assert.equal(data!.received, '');
      if (site.mode === 'own') assert.deepEqual(await since.wire('dst port 3306'), [], 'not one SYN');
    });

    test('with the first resolver gone, and back', async () => {
      await site.lab.stopServer('resolver');
      try {
        // Not asked for before, so that nothing of it is in a cache.
        const { stdout, stderr } = await site.curl('https://api.models.example/');
        assert.match(stdout, /"server":"models"/, stderr);
      } finally {
        await site.lab.startServer('resolver');
      }
    });
  });

  describe('row 1: an address that is shared with another name', () => {
    test('uncontained, that name answers; here it is not resolved', async () => {
      const since = await site.watch();
      const url = `https://${customer}/`;
      const outside = await site.lab.exec('host', ['curl', '-sS', url], { env: site.lab.ca.environment });
      assert.equal(outside.code, 0, outside.stderr);
      assert.equal((await site.curl(url)).code, 6);
      assert.deepEqual(await since.reasons(({ kind }) => kind === 'dns'), ['dns-not-permitted']);
      assert.equal((await since.arrived('request')).length, 1);
    });

    for (const family of families)
      test(`by SNI and by Host, IPv${family}`, async () => {
        const control = await judged(site, [
          { what: 'its own name', words: tls('pypi.org', 'pypi.org', family), verdict: 'permit' },
          { what: 'its own Host', words: http('pypi.org', 'pypi.org', family), verdict: 'permit' },
        ]);
        assert.match(control[1]!.received, /^HTTP\/1.1 200 /);
        const since = await site.watch();
        const unread = site.mode === 'synthetic' ? 'plain-http-unread' : otherName;
        const [hello443, host80, host443] = await judged(site, [
          { what: 'another SNI', words: tls('pypi.org', customer, family), verdict: otherName },
          { what: 'another Host', words: http('pypi.org', customer, family), verdict: otherName },
          { what: 'plain HTTP on 443', words: http('pypi.org', customer, family, 443), verdict: unread },
        ]);
        assert.equal(hello443!.end, 'reset');
        assert.match(host80!.received, new RegExp(`^HTTP/1\\.1 403 [\\s\\S]*"code":"${otherName}"`));
        assert.doesNotMatch(host443!.received, /200/);
        const flow = hello443!.records.filter(isFlow).at(-1)!;
        assert.deepEqual([flow.stage, flow.claimedName], ['name', { state: 'known', value: customer }]);
        assert.deepEqual(brief(await since.arrived('bytes', 'tls', 'request')), []);
        if (site.mode === 'own') assert.deepEqual(await since.wire(cdn), [], 'not one SYN');
      });

    test('the real address, which no answer gave', async () => {
      const since = await site.watch();
      const direct = (family: 4 | 6) => site.lab.address('github.com', family);
      const first = site.mode === 'own' ? 'permit' : 'no-rule';
      await judged(
        site,
        families.flatMap((family): Try[] => [
          { what: `a permitted SNI, IPv${family}`, words: tls(direct(family), 'pypi.org'), verdict: first },
          { what: `another SNI, IPv${family}`, words: tls(direct(family), 'github.com'), verdict: 'no-rule' },
          { what: `another Host, IPv${family}`, words: http(direct(family), 'github.com'), verdict: 'no-rule' },
          {
            what: `QUIC, IPv${family}`,
            words: { protocol: 'udp', host: direct(family), port: 443, send: ['x'] },
            verdict: 'quic',
          },
        ]),
      );
      assert.deepEqual(await since.wire(families.map((f) => `dst host ${direct(f)}`).join(' or ')), []);
      const sni = (await since.arrived('bytes')).map(({ server }) => server);
      assert.deepEqual(
        sni,
        site.mode === 'own' ? ['cdn', 'cdn'] : [],
        'in own mode, the name alone says where it goes',
      );
    });

    test('an address that another agent was given', async () => {
      const since = await site.watch();
      const told = (name: string) => site.agent.run<string>(`result = socket.gethostbyname(args['name'])`, { name });
      const [mine, both] = [await told('example.com'), await told('pypi.org')];
      const unasked = site.mode === 'track' ? 'no-rule' : 'permit';
      await judged(site, [{ what: 'no right to it', words: tls(mine, 'example.com'), verdict: 'no-rule' }], 'other');
      assert.deepEqual(await since.wire('dst host 93.184.215.14'), []);
      await judged(
        site,
        [{ what: 'a right, and no question', words: tls(both, 'pypi.org'), verdict: unasked }],
        'other',
      );
      if (unasked !== 'permit') assert.deepEqual(await since.wire(cdn), []);
      await judged(site, [{ what: 'a question', words: tls('pypi.org', 'pypi.org'), verdict: 'permit' }], 'other');
    });
  });

  describe('row 2: a permitted SNI on the way to the attacker', () => {
    test('uncontained, the attacker gets the hello', async () => {
      const since = await site.watch();
      await site.lab.exec('host', ['curl', '-sSk', '--resolve', `pypi.org:443:${attacker[4]}`, 'https://pypi.org/']);
      assert.notDeepEqual(await since.wire(toAttackers), []);
    });

    for (const family of families)
      test(`to its address, IPv${family}`, async () => {
        const since = await site.watch();
        const address = family === 4 ? attacker[4] : `[${attacker[6]}]`;
        for (const [words, url] of [
          [['--resolve', `pypi.org:443:${address}`], 'https://pypi.org/'],
          [['--connect-to', `pypi.org:443:${address}:443`], 'https://pypi.org/'],
          [['--resolve', `pypi.org:80:${address}`], 'http://pypi.org/'],
        ] as const) {
          const { code, stdout } = await site.curl(...words, url);
          // In own mode the gateway dials what it knows of the name, and its certificate is the right one.
          if (site.mode === 'own') assert.match(stdout, /"server":"cdn"/);
          else assert.equal(code, 7);
        }
        if (site.mode !== 'own') assert.deepEqual(await since.reasons(), ['no-rule']);
        assert.deepEqual(await since.wire(toAttackers), [], 'not one packet');
      });

    test('to it without a name, or with its own', async () => {
      const since = await site.watch();
      const silence: AttemptWords = { protocol: 'tcp', host: attacker[4], port: 443, patience: 800 };
      const made = await site.attempt([
        tls(attacker[4], customer),
        http(attacker[4], customer),
        { ...silence, send: ['\0\x01 opaque'] },
        { ...silence, send: [hello()] },
      ]);
      for (const { end, received } of made) assert.ok(end !== 'open' && !/200/.test(received), `${end} ${received}`);
      assert.deepEqual(await since.wire(toAttackers), [], 'not one packet');
    });

    test('at the address of another permitted name', async () => {
      const since = await site.watch();
      const verdict = site.mode === 'own' ? 'permit' : otherName;
      await judged(site, [{ what: 'SNI', words: tls('echo.example', 'pypi.org'), verdict }]);
      const servers = (await since.arrived('bytes')).map(({ server }) => server);
      assert.deepEqual(servers, site.mode === 'own' ? ['cdn'] : []);
    });

    test('at an address of the pool that stands for nothing', async () => {
      const since = await site.watch();
      const pool = ['198.18.77.77', 'fdc0:ffe7:da11:198::7777'];
      const verdict = 'address-unmapped';
      await judged(
        site,
        pool.map((host) => ({ what: host, words: tls(host, 'pypi.org'), verdict })),
      );
      assert.deepEqual(await since.wire('dst net 198.18.0.0/16 or dst net fdc0:ffe7:da11::/48'), []);
    });
  });

  describe('row 7: names written in other ways', () => {
    test('the canonical name is what is asked, dialled, forwarded and logged', async () => {
      const since = await site.watch();
      const made = await judged(site, [
        ...['example.com', 'EXAMPLE.com', 'example.com.', 'example.com:80'].map((host) => ({
          what: host,
          words: http('example.com', host),
          verdict: 'permit',
        })),
        { what: 'resolved in capitals', words: http('EXAMPLE.COM.', 'example.com'), verdict: 'permit' },
        { what: 'SNI in capitals', words: tls('example.com', 'EXAMPLE.com'), verdict: 'permit' },
      ]);
      for (const one of made.slice(0, 5)) assert.match(one.received, /^HTTP\/1.1 200 /);
      const requests = (await since.arrived('request')).map((one) => brief([one])[0]);
      assert.deepEqual([...new Set(requests)], ['web:80 request GET example.com/']);
      for (const { claimedName } of made.flatMap(({ records }) => records.filter(isFlow)))
        assert.deepEqual(claimedName, { state: 'known', value: 'example.com' });
    });

    test('questions for other names are answered here', async () => {
      const since = await site.watch();
      const ask = (labels: readonly string[]): AttemptWords => ({
        protocol: 'udp',
        host: gatewayHost[4],
        port: 53,
        send: [dnsQuestion({ labels })],
      });
      const made = await site.attempt([...otherQuestions.map(([, labels]) => ask(labels)), ask(['EXAMPLE', 'coM'])]);
      for (const [index, [what]] of otherQuestions.entries()) {
        const reply = replyHead(made[index]!.received);
        assert.ok(reply !== undefined && reply.rcode !== 0 && reply.answers === 0, `${what}: ${JSON.stringify(reply)}`);
      }
      assert.equal(replyHead(made.at(-1)!.received)?.answers, 1, 'the permitted name in another case');
      const asked = brief(await since.arrived()).filter((line) => !/ query example\.com A$/.test(line));
      assert.deepEqual(asked, []);
    });

    test('an address in a spelling of inet_aton is an address', async () => {
      const since = await site.watch();
      for (const host of attackerSpellings)
        assert.notEqual((await site.curl('--fail', '-m', '3', `http://${host}/`)).code, 0, host);
      assert.deepEqual(await since.wire(toAttackers), []);
    });

    /** In own mode a claimed name is judged by itself, before what else is amiss with a head. */
    const expected = (reason: string): string =>
      reason === 'name-mismatch' || (site.mode === 'own' && /^(authority|request)-/.test(reason)) ? otherName : reason;
    test('Host fields and server names', async () => {
      const since = await site.watch();
      const made = await judged(site, [
        ...hostFields.map(([what, text, reason]) => ({
          what,
          words: { ...http('example.com', ''), send: [text] },
          verdict: expected(reason),
        })),
        ...serverNames.map(([what, names, reason]) => ({
          what,
          words: { ...tls('example.com', ''), send: [hello(...names)] },
          verdict: expected(reason),
        })),
      ]);
      for (const [index, [what, , reason]] of hostFields.entries())
        assert.equal(made[index]!.received.slice(0, 13), `HTTP/1.1 ${denialStatus(expected(reason))} `, what);
      assert.deepEqual(brief(await since.arrived('bytes', 'tls', 'request', 'datagram')), []);
      assert.deepEqual(await since.wire(toAttackers), []);
    });
  });
};
