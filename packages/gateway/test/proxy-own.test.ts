/** Where an agent's addresses have no names: what the client claims is resolved, judged, and only then dialled. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { formatAddress } from '@cofferdam/net';
import { clientHelloStream } from '@cofferdam/testkit';
import type { Gate } from '../src/index.ts';
import { compiledGate } from './compiled-gate.ts';
import { attacker, internal, type OwnLab, type OwnOptions, ownLab, sketch } from './own-lab.ts';
import { converse, until } from './proxy-lab.ts';

const hello = (sni?: string): Buffer => Buffer.from(clientHelloStream(sni === undefined ? {} : { sni }));
const get = (host: string, path = '/', extra = ''): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${extra}\r\n`;

const labs: OwnLab[] = [];
afterEach(async () => {
  for (const one of labs.splice(0)) await one.close();
});
const open = async (
  over: Omit<OwnOptions, 'gate'> & { readonly gate?: Gate; readonly written?: string } = {},
): Promise<OwnLab> => {
  const { gate, written = attacker, ...options } = over;
  const one = await ownLab(gate, options);
  one.written = written;
  labs.push(one);
  return one;
};

/** What became of one client that sends these pieces. */
const client = async (
  one: OwnLab,
  pieces: readonly (string | Buffer)[],
  options: Parameters<typeof converse>[2] = { half: true, gap: 20 },
) => {
  const { received, end } = await converse(one.port, pieces, options);
  const record = await one.end();
  return {
    received,
    end,
    dialled: one.dialled,
    asked: one.resolver.asked,
    verdict: `${record.verdict} ${record.reason} ${record.rule?.name ?? 'default'} ${record.stage}`,
    destination: formatAddress(record.destination.address),
    names: record.addressNames,
    record,
  };
};

describe('a name that a permit covers', () => {
  test('it is resolved, and its address is dialled instead of the one that the client chose', async () => {
    const one = await open();
    const first = hello('api.example.com');
    const { dialled, verdict, destination, names, record, received } = await client(one, [first]);
    assert.deepEqual(dialled, ['93.184.216.34']);
    assert.deepEqual([verdict, destination, names], ['permit rule named name', '93.184.216.34', ['api.example.com']]);
    assert.equal(received, first.toString('latin1'), 'the hello itself went there');
    assert.deepEqual([record.synthetic, record.treatment], [undefined, 'passthrough']);
    assert.equal(one.received(attacker), '');
  });

  test('the address as written comes first where it is one of them', async () => {
    const one = await open({ written: '93.184.216.35' });
    assert.deepEqual((await client(one, [hello('api.example.com')])).dialled, ['93.184.216.35']);
  });

  test('the next is tried where one does not answer, those of the other family last', async () => {
    const one = await open({ dead: ['93.184.216.34', '93.184.216.35'] });
    const { dialled, destination } = await client(one, [hello('api.example.com')]);
    assert.deepEqual(dialled, ['93.184.216.34', '93.184.216.35', '2606:2800:220:1::1']);
    assert.equal(destination, '2606:2800:220:1::1');
  });

  test('an agent reaches by it what has only the other family; where there is no route, nobody asks', async () => {
    assert.deepEqual((await client(await open(), [hello('six.example.com')])).dialled, ['2606:2800:220:1::6']);
    const { asked, verdict } = await client(await open({ ipv6: false }), [hello('six.example.com')]);
    assert.deepEqual([asked, verdict], [['six.example.com A'], 'deny dns-upstream default name']);
  });

  test('nobody answers', async () => {
    const one = await open({ dead: ['93.184.216.40'] });
    const { verdict, dialled } = await client(one, [hello('other.wild.example.com')]);
    assert.deepEqual([verdict, dialled], ['deny upstream-unreachable named packet', ['93.184.216.40']]);
  });

  test('of sixty addresses that do not answer eight are tried', async () => {
    const dead = Array.from({ length: 60 }, (_, i) => `93.184.217.${i}`);
    assert.equal((await client(await open({ dead }), [hello('many.wild.example.com')])).dialled.length, 8);
  });

  test('a denial of the name is found before anything is dialled', async () => {
    const rules = [{ name: 'not-bad', action: 'deny', web: ['denied'] }, ...sketch.rules];
    const one = await open({ gate: compiledGate({ ...sketch, rules }) });
    const { verdict, dialled } = await client(one, [hello('bad.wild.example.com')]);
    assert.deepEqual([verdict, dialled], ['deny rule-denies not-bad name', []]);
  });

  for (const name of ['dead.wild.example.com', 'nothing.wild.example.com']) {
    test(`one that leads nowhere: ${name}`, async () => {
      const { verdict, dialled, names } = await client(await open(), [hello(name)]);
      assert.deepEqual([verdict, dialled, names], ['deny dns-upstream default name', [], []]);
    });
  }
});

describe('nothing is dialled before it is permitted', () => {
  test('not for a client that says nothing: it is denied in the end, after the rule that waited', async () => {
    const { verdict, dialled, end } = await client(await open(), [], {});
    assert.deepEqual([verdict, dialled, end], ['deny undecided-timeout named name', [], 'reset']);
  });

  test('not while a hello comes in pieces', async () => {
    const one = await open();
    const bytes = hello('api.example.com');
    const socket = connect(one.port, '127.0.0.1');
    socket.on('error', () => undefined);
    for (let at = 0; at < bytes.length - 1; at += 40) {
      socket.write(bytes.subarray(at, Math.min(at + 40, bytes.length - 1)));
      await delay(5);
      assert.deepEqual([one.dialled, one.resolver.asked], [[], []]);
    }
    socket.write(bytes.subarray(-1));
    await until(() => one.dialled.length > 0);
    assert.deepEqual(one.dialled, ['93.184.216.34']);
    socket.destroy();
    await one.end();
  });

  for (const [what, bytes, expected] of [
    ['a hello that never ends', hello('api.example.com').subarray(0, 100), 'deny undecided-timeout named name'],
    ['bytes that are neither TLS nor HTTP', Buffer.from('\u0000\u0001opaque'), 'deny no-rule default request'],
    ['TLS without a name', hello(), 'deny no-rule default name'],
    ['a request without a Host', Buffer.from('GET / HTTP/1.0\r\n\r\n'), 'deny no-rule default request'],
    ['a Host that is the address as written', Buffer.from(get(attacker)), 'deny no-rule default request'],
    ['a name that no permit covers', hello('evil.example'), 'deny no-rule default name'],
    ['a Host that no permit covers', Buffer.from(get('evil.example')), 'deny no-rule default request'],
    ['a hello that breaks its framing', Buffer.from('160301000502000001ff', 'hex'), 'deny hello-unreadable named name'],
    [
      'two names',
      Buffer.from(clientHelloStream({ sni: ['api.example.com', 'evil.example'] })),
      'deny hello-unreadable named name',
    ],
    ['a name that is none', hello('api.example.com.'), 'deny name-unreadable named name'],
    ['a name with a NUL', hello('api.example.com\u0000evil'), 'deny name-unreadable named name'],
    [
      'a request only a lax server reads',
      Buffer.from('GET / HTTP/1.1\nHost: api.example.com\n\n'),
      'deny name-unreadable named name',
    ],
  ] as const) {
    test(`${what}: nobody is asked, nothing is sent`, async () => {
      const one = await open();
      const { verdict, dialled, asked } = await client(one, [bytes], { gap: 20 });
      assert.deepEqual([dialled, asked], [[], []]);
      assert.equal(verdict.replace(/ (name|request)$/, ''), expected.replace(/ (name|request)$/, ''));
    });
  }

  test('an address of the pool stands for nothing', async () => {
    const { verdict, dialled } = await client(await open({ written: '198.18.1.0' }), [hello('api.example.com')]);
    assert.deepEqual([verdict, dialled], ['deny address-unmapped default packet', []]);
  });

  test('what no rule could permit is refused at once', async () => {
    const gate = compiledGate({ ...sketch, rules: [{ name: 'internal', to: ['internal'] }] });
    const { verdict, dialled } = await client(await open({ gate }), [hello('api.example.com')]);
    assert.deepEqual([verdict, dialled], ['deny no-rule default packet', []]);
  });

  test('a client that leaves while its name is resolved', async () => {
    const one = await open();
    const { resolve } = one.resolver;
    let release = (): void => undefined;
    const gone = new Promise<void>((go) => {
      release = go;
    });
    Object.assign(one.resolver, {
      resolve: async (...args: Parameters<typeof resolve>) => {
        await gone;
        return resolve(...args);
      },
    });
    const socket = connect(one.port, '127.0.0.1');
    socket.write(hello('api.example.com'));
    await delay(50);
    socket.resetAndDestroy();
    await delay(50);
    release();
    const record = await one.end();
    assert.deepEqual([record.reason, one.dialled], ['undecided-closed', []]);
  });

  test('a plan that comes while a name is resolved is the one that judges', async () => {
    const one = await open();
    const { resolve } = one.resolver;
    Object.assign(one.resolver, {
      resolve: async (...args: Parameters<typeof resolve>) => {
        one.gate = compiledGate({ ...sketch, revision: 2, rules: [{ name: 'internal', to: ['internal'] }] });
        return resolve(...args);
      },
    });
    const { verdict, dialled, record } = await client(one, [hello('api.example.com')]);
    assert.deepEqual([verdict, dialled, record.revision], ['deny no-rule default name', [], 2]);
  });

  test('an address of this machine', async () => {
    const { verdict, dialled } = await client(await open({ guarded: ['93.184.216.40'] }), [
      hello('other.wild.example.com'),
    ]);
    assert.deepEqual([verdict, dialled], ['deny gateway-port default packet', []]);
  });
});

describe('names that lead where they must not', () => {
  const named = compiledGate({ ...sketch, rules: [{ name: 'named', web: ['named'] }] });
  for (const [name, expected] of [
    ['rebind', 'deny gateway-port default name'],
    ['private', 'deny no-rule default name'],
    ['pool', 'deny dns-address-denied default name'],
  ] as const) {
    test(`${name}: no address of it is dialled`, async () => {
      const { verdict, dialled } = await client(await open({ gate: named }), [hello(`${name}.wild.example.com`)]);
      assert.deepEqual(dialled, []);
      assert.match(verdict, /^deny /);
      if (name !== 'rebind') assert.equal(verdict, expected);
    });
  }
  test('the addresses that policy has nothing against are', async () => {
    for (const [name, real] of [
      ['mixed', '93.184.216.42'],
      ['poolandreal', '93.184.216.43'],
    ] as const)
      assert.deepEqual((await client(await open({ gate: named }), [hello(`${name}.wild.example.com`)])).dialled, [
        real,
      ]);
  });
  test('rebinding does not help where the address as written is the private one', async () => {
    const one = await open({ gate: named, written: '10.0.0.7' });
    const { verdict, dialled } = await client(one, [hello('private.wild.example.com')]);
    assert.deepEqual([verdict, dialled], ['deny no-rule default name', []]);
  });
  for (const name of ['localhost', 'printer', 'host.local']) {
    test(`${name} is asked of nobody, whoever permits every name`, async () => {
      const gate = compiledGate({ ...sketch, rules: [{ name: 'all', web: ['any-web'], to: ['anywhere'] }] });
      const { asked, dialled } = await client(await open({ gate }), [hello(name)]);
      assert.deepEqual([asked, dialled], [[], []]);
    });
  }
});

describe('a message in the names that are claimed', () => {
  test('names below a wildcard have the budget of questions: beyond it nobody is asked', async () => {
    const one = await open({ uniqueNames: 5 });
    const verdicts: string[] = [];
    for (let i = 0; i < 8; i++) {
      one.resolver.zone.set(`n${i}.wild.example.com`, ['93.184.216.40']);
      one.records.length = 0;
      verdicts.push((await client(one, [hello(`n${i}.wild.example.com`)])).verdict);
    }
    assert.deepEqual(verdicts, [
      ...Array(5).fill('permit rule named name'),
      ...Array(3).fill('deny dns-budget default name'),
    ]);
    assert.deepEqual([one.dialled.length, one.resolver.asked.length], [5, 10]);
    one.records.length = 0;
    assert.equal((await client(one, [hello('n0.wild.example.com')])).verdict, 'permit rule named name');
    one.records.length = 0;
    assert.equal(
      (await client(one, [hello('api.example.com')])).verdict,
      'permit rule named name',
      'written out in full',
    );
  });

  test('long and dense labels, in a Host as in a hello', async () => {
    for (const first of [hello(`${'a'.repeat(60)}.wild.example.com`), get(`${'b'.repeat(60)}.wild.example.com`)]) {
      const one = await open();
      const { verdict, asked, received } = await client(one, [first]);
      assert.match(verdict, /^deny dns-budget default/);
      assert.deepEqual([asked, one.dialled], [[], []]);
      if (typeof first === 'string') assert.match(received, /403[\s\S]*"code":"dns-budget"/);
    }
  });
});

describe('the address as written', () => {
  test('is dialled at once where the flow is permitted without a name: servers that speak first', async () => {
    const one = await open({ written: internal, greets: { [internal]: '220 ready\r\n' } });
    const { received, verdict, names } = await client(one, ['', 'EHLO me\r\n'], { gap: 60, half: true });
    assert.equal(received, '220 ready\r\nEHLO me\r\n');
    assert.deepEqual([verdict, names, one.dialled], ['permit rule internal request', [], [internal]]);
  });

  test('a client that begins TLS after such a server spoke is cut', async () => {
    const one = await open({ written: internal, greets: { [internal]: '220 ready\r\n' } });
    const { verdict } = await client(one, ['', hello('api.example.com')], { gap: 60 });
    assert.match(verdict, /^deny spoke-out-of-turn/);
    assert.deepEqual([one.dialled, one.received(internal)], [[internal], '']);
  });

  for (const [what, first] of [
    ['opaque bytes', Buffer.from('\u0000\u0001opaque')],
    ['a name that no permit covers', hello('evil.example')],
  ] as const) {
    test(`carries ${what}, where a rule without names permits it`, async () => {
      const one = await open({ written: internal });
      const { verdict, names, destination, received } = await client(one, [first]);
      assert.match(verdict, /^permit rule internal/);
      assert.deepEqual([names, destination, one.dialled, one.resolver.asked], [[], internal, [internal], []]);
      assert.equal(received, first.toString('latin1'));
    });
  }

  test('gets nothing of a client that claims a name which leads elsewhere', async () => {
    const one = await open({ written: internal });
    const { dialled, destination } = await client(one, [hello('api.example.com')]);
    assert.deepEqual([dialled, destination], [[internal, '93.184.216.34'], '93.184.216.34']);
    assert.deepEqual([one.received(internal), one.received('93.184.216.34').length > 100], ['', true]);
  });

  test('is let go of as soon as another is dialled', async () => {
    const one = await open({ written: internal });
    const socket = connect(one.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await until(() => one.heldAt(internal) === 1);
    socket.write(hello('api.example.com'));
    await until(() => one.heldAt('93.184.216.34') === 1);
    await until(() => one.heldAt(internal) === 0);
    socket.destroy();
    await one.end();
  });

  test('is let go of where the name is denied', async () => {
    const one = await open({ written: internal });
    const socket = connect(one.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await until(() => one.heldAt(internal) === 1);
    socket.write(hello('dead.wild.example.com'));
    assert.equal((await one.end()).reason, 'dns-upstream');
    await until(() => one.heldAt(internal) === 0);
  });

  test('one connection is enough where the name leads there', async () => {
    const one = await open({ written: internal });
    one.resolver.zone.set('here.wild.example.com', [internal]);
    const { dialled, names } = await client(one, [hello('here.wild.example.com')]);
    assert.deepEqual([dialled, names], [[internal], ['here.wild.example.com']]);
  });

  test('where nobody answers there, a client that says nothing learns it at once', async () => {
    const one = await open({ written: internal, dead: [internal], undecidedTimeout: 5000 });
    assert.equal((await client(one, [], {})).verdict, 'deny upstream-unreachable internal packet');
  });

  test('where nobody answers there, one that claimed a name meanwhile is led on', async () => {
    const one = await open({ written: internal, hanging: [internal], connectTimeout: 100 });
    const { verdict, dialled } = await client(one, [hello('api.example.com')]);
    assert.deepEqual([verdict, dialled], ['permit rule named name', [internal, '93.184.216.34']]);
  });
});

describe('plain HTTP', () => {
  const paths = compiledGate({
    ...sketch,
    rules: [{ name: 'pages', web: ['named'], http: { methods: ['GET'], paths: ['/pages/**'] } }],
  });

  test('a request is judged whole before anything is dialled, and a denial is told', async () => {
    const one = await open({ gate: paths });
    const { received, verdict } = await client(one, [get('api.example.com', '/admin')]);
    assert.match(received, /403[\s\S]*"code":"no-rule"/);
    assert.deepEqual([verdict, one.dialled], ['deny no-rule default request', []]);
    assert.deepEqual(
      one.records.map(({ kind, verdict: is }) => `${kind} ${is}`),
      ['request deny', 'flow deny'],
    );
    const other = await open({ gate: paths });
    await client(other, [get('api.example.com', '/pages/a')]);
    assert.deepEqual(other.dialled, ['93.184.216.34']);
    assert.match(other.received('93.184.216.34'), /^GET \/pages\/a HTTP\/1.1\r\nHost: api\.example\.com:\d+\r\n/);
  });

  test('two requests for one name pass on one connection, one for another name is denied', async () => {
    const one = await open({ gate: paths });
    const socket = connect(one.port, '127.0.0.1');
    const seen: string[] = [];
    socket.on('data', (bytes) => seen.push(bytes.toString('latin1')));
    socket.on('error', () => undefined);
    socket.write(get('api.example.com', '/pages/a'));
    await until(() => seen.join('').endsWith('ok'));
    socket.write(get('api.example.com', '/pages/b'));
    await until(() => one.received('93.184.216.34').includes('/pages/b'));
    socket.write(get('other.wild.example.com', '/pages/c'));
    await until(() => seen.join('').includes('403'));
    assert.match(seen.join(''), /"code":"name-mismatch"/);
    assert.equal(one.received('93.184.216.34').includes('/pages/c'), false);
    assert.deepEqual(one.dialled, ['93.184.216.34']);
    assert.deepEqual(one.resolver.asked, ['api.example.com A', 'api.example.com AAAA']);
    socket.destroy();
  });

  for (const [what, text] of [
    ['authorities that differ', 'GET http://api.example.com/pages/ HTTP/1.1\r\nHost: evil.example\r\n\r\n'],
    ['CONNECT', 'CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n'],
    [
      'an upgrade to h2c',
      get(
        'api.example.com',
        '/pages/',
        'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n',
      ),
    ],
    [
      'a WebSocket where the rule reads requests',
      get('api.example.com', '/pages/', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'),
    ],
  ] as const) {
    test(`${what}: denied, and nothing is dialled`, async () => {
      const one = await open({ gate: paths });
      const { received, verdict } = await client(one, [text]);
      assert.match(received, /403/);
      assert.match(verdict, /^deny /);
      assert.deepEqual(one.dialled, []);
      if (!what.includes('WebSocket')) assert.deepEqual(one.resolver.asked, []);
    });
  }
});

describe('what the hello holds besides its name', () => {
  const encrypted = Buffer.from(clientHelloStream({ sni: 'api.example.com', ech: true }));
  const refusing = (revision: number) =>
    compiledGate({ ...sketch, revision, rules: [{ name: 'named', web: ['named'], ech: 'refuse' }] });

  test('an encrypted hello is refused where the rule says so, and nothing is dialled', async () => {
    const one = await open({ gate: refusing(1) });
    assert.equal((await client(one, [encrypted])).verdict, 'deny ech-refused named name');
    assert.deepEqual(one.dialled, []);
    one.records.length = 0;
    assert.equal((await client(one, [hello('api.example.com')])).verdict, 'permit rule named name', 'control');
    assert.match((await client(await open(), [encrypted])).verdict, /^permit rule named/, 'control');
  });

  test('and cut where another plan says so', async () => {
    const one = await open();
    const socket = connect(one.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(encrypted);
    await until(() => one.received('93.184.216.34') !== '');
    one.gate = refusing(2);
    one.proxy.rejudge();
    assert.equal((await one.end()).reason, 'flow-cut');
    socket.destroy();
  });

  test('a second hello right behind the first: neither arrives, and the record says so', async () => {
    const one = await open();
    const { verdict } = await client(one, [Buffer.concat([hello('api.example.com'), hello('evil.example')])]);
    assert.equal(verdict, 'deny hello-unreadable named name');
    assert.equal(one.received('93.184.216.34'), '');
  });
});

describe('while it lasts', () => {
  test('a plan that no longer permits the name cuts it, one that does lets it go on', async () => {
    const one = await open();
    const socket = connect(one.port, '127.0.0.1');
    let cut = false;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      cut = true;
    });
    socket.write(hello('api.example.com'));
    await until(() => one.received('93.184.216.34') !== '');
    one.gate = compiledGate({ ...sketch, revision: 2 });
    one.proxy.rejudge();
    await delay(50);
    assert.equal(cut, false);
    one.gate = compiledGate({ ...sketch, revision: 3, rules: [{ name: 'internal', to: ['internal'] }] });
    one.proxy.rejudge();
    const record = await one.end();
    assert.deepEqual([record.reason, record.revision], ['flow-cut', 3]);
  });

  test('each flow is counted and recorded once, and nothing is held when it is over', async () => {
    const told: string[] = [];
    const one = await open({ decided: (_gate, { kind, reason }) => told.push(`${kind} ${reason}`) });
    await client(one, [hello('api.example.com')]);
    one.records.length = 0;
    await client(one, [hello('evil.example')]);
    one.records.length = 0;
    await client(one, [get('nothing.wild.example.com')]);
    await until(() => one.holding() === 0);
    assert.deepEqual(told, ['permit rule', 'deny no-rule', 'deny dns-upstream']);
  });

  test('connections that wait for their claim count for the agent’s quota', async () => {
    const one = await open({ ofOneAgent: 2, undecidedTimeout: 5000 });
    const waiting = [connect(one.port, '127.0.0.1'), connect(one.port, '127.0.0.1')];
    for (const socket of waiting) socket.on('error', () => undefined);
    await until(() => one.holding() === 2);
    assert.match((await client(one, [hello('api.example.com')])).verdict, /^deny flow-quota/);
    for (const socket of waiting) socket.destroy();
    await until(() => one.holding() === 0);
  });
});

describe('a monitored agent', () => {
  const gate = compiledGate({ ...sketch, containment: 'monitor' });

  test('goes where it would go without a gateway, where no rule covers what it claims', async () => {
    const one = await open({ gate });
    const { dialled, verdict, record } = await client(one, [hello('evil.example')]);
    assert.deepEqual([dialled, one.resolver.asked], [[attacker], []]);
    assert.match(verdict, /^permit monitored/);
    assert.equal(record.wouldBe !== 'unknown' && record.wouldBe?.verdict, 'deny');
  });

  test('goes there too where its name leads nowhere or is over the budget', async () => {
    for (const name of ['dead.wild.example.com', `${'a'.repeat(60)}.wild.example.com`]) {
      const one = await open({ gate });
      one.resolver.zone.set(`${'a'.repeat(60)}.wild.example.com`, ['93.184.216.40']);
      const { verdict } = await client(one, [hello(name)]);
      assert.match(verdict, /^permit /);
    }
  });
});
