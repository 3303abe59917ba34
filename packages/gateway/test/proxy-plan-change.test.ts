/** Connections that wait for their client's first bytes, or for its next request, while another plan comes into force. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { clientHelloStream } from '@cofferdam/testkit';
import { syntheticWays } from '../src/arrival.ts';
import type { Binding, Gate } from '../src/index.ts';
import { isCollected } from './collected.ts';
import { compiledGate, type Sketch } from './compiled-gate.ts';
import { address } from './fakes.ts';
import { attacker, type OwnLab, ownLab, sketch } from './own-lab.ts';
import { lab, listen, loopbackBinding, recordingServer, until } from './proxy-lab.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A client, and what it got. */
const open = (port: number) => {
  const socket: Socket = connect(port, '127.0.0.1');
  let received = '';
  let isOver = false;
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isOver = true;
  });
  closing.push(async () => socket.destroy());
  return { socket, received: () => received, isOver: () => isOver };
};

describe('in own mode, while nobody has spoken', () => {
  const everywhere = { name: 'everywhere' };
  const start = async (): Promise<OwnLab> => {
    const one = await ownLab(compiledGate({ ...sketch, rules: [...sketch.rules, everywhere] }));
    closing.push(one.close);
    return one;
  };

  test('a name that the plan in force does not cover is not asked for', async () => {
    const one = await start();
    const client = open(one.port);
    await until(() => one.heldAt(attacker) === 1);
    one.gate = compiledGate({ ...sketch, revision: 2, rules: [everywhere] });
    client.socket.write(clientHelloStream({ sni: 'a-secret.wild.example.com' }));
    await until(() => client.received() !== '');
    assert.deepEqual([one.resolver.asked, one.dialled], [[], [attacker]]);
  });

  test('control: one that it does cover is', async () => {
    const one = await start();
    const client = open(one.port);
    await until(() => one.heldAt(attacker) === 1);
    one.gate = compiledGate({ ...sketch, revision: 2 });
    client.socket.write(clientHelloStream({ sni: 'other.wild.example.com' }));
    await until(() => client.received() !== '');
    assert.deepEqual(one.dialled, [attacker, '93.184.216.40']);
  });

  test('a connection that the plan in force denies is cut at both ends', async () => {
    const one = await start();
    const client = open(one.port);
    await until(() => one.heldAt(attacker) === 1);
    one.gate = compiledGate({ ...sketch, revision: 2, rules: [{ ...everywhere, action: 'deny' }] });
    one.proxy.rejudge();
    await until(() => client.isOver() && one.heldAt(attacker) === 0);
    const { verdict, reason, revision } = await one.end();
    assert.deepEqual([verdict, reason, revision], ['deny', 'flow-cut', 2]);
  });

  test('one that it permits stays', async () => {
    const one = await start();
    const client = open(one.port);
    await until(() => one.heldAt(attacker) === 1);
    one.gate = compiledGate({ ...sketch, revision: 2, rules: [everywhere] });
    one.proxy.rejudge();
    client.socket.write('\0opaque');
    await until(() => client.received() === '\0opaque');
    assert.deepEqual(one.dialled, [attacker]);
  });
});

/** In a function of its own: one that waits keeps whatever it has looked at. */
const inForce = ({ gate }: { readonly gate: Gate | undefined }): WeakRef<Gate> => new WeakRef(gate!);

describe('a proxied flow', () => {
  const named: Sketch = {
    mode: 'synthetic',
    web: { named: ['api.example.com'] },
    rules: [{ web: ['named'], name: 'named' }],
  };
  const start = async (gate: Sketch, undecidedTimeout = 10_000, greeting?: string) => {
    const binding: Binding = { ...loopbackBinding, addresses: [address('93.184.216.34')] };
    let held = 0;
    const { server, text } = recordingServer((socket) => {
      held++;
      if (greeting !== undefined) socket.write(greeting);
      socket.on('close', () => held--);
      socket.on('end', () => socket.end());
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    });
    const one = await lab(await listen(server), compiledGate(gate), {
      ways: syntheticWays({ at: () => binding, contains: () => true }),
      undecidedTimeout,
    });
    closing.push(one.close, () => new Promise((resolve) => server.close(resolve)));
    return { one, text, held: () => held };
  };

  test('is cut before it has spoken, once a plan denies it', async () => {
    const { one, held } = await start(named);
    const client = open(one.port);
    await until(() => held() === 1);
    one.gate = compiledGate({ ...named, revision: 2, rules: [{ name: 'closed', action: 'deny' }] });
    one.proxy.rejudge();
    await until(() => client.isOver() && held() === 0);
    const [record] = one.records;
    assert.deepEqual([record?.verdict, record?.reason, record?.rule?.name], ['deny', 'flow-cut', 'closed']);
  });

  test('that waits to be judged waits on where a plan still has to read it', async () => {
    const reads: Sketch = { ...named, rules: [{ web: ['named'], name: 'reads', http: { methods: ['GET'] } }] };
    const { one, held } = await start(reads);
    const client = open(one.port);
    await until(() => held() === 1);
    one.gate = compiledGate({ ...reads, revision: 2 });
    one.proxy.rejudge();
    client.socket.write('GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n');
    await until(() => client.received().endsWith('ok'));
  });

  test('that lives on is from then on one of the plan in force, and keeps no other', async () => {
    const { one } = await start(named);
    one.gate = compiledGate({ ...named, revision: 2 });
    const client = open(one.port);
    const request = 'GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n';
    client.socket.write(request);
    await until(() => client.received().endsWith('ok'));
    const before = inForce(one);
    assert.equal(await isCollected(before), false, 'control: it is in force');
    one.gate = compiledGate({ ...named, revision: 3, rules: [{ ...named.rules[0], name: 'renamed' }] });
    one.proxy.rejudge();
    assert.ok(await isCollected(before));
    client.socket.end();
    await until(() => one.records.some(({ kind, end }) => kind === 'flow' && end !== undefined));
    const { verdict, reason, rule, revision } = one.records.at(-1)!;
    assert.deepEqual([verdict, reason, rule?.name, revision], ['permit', 'rule', 'renamed', 3]);
  });

  test('of an agent that was monitored: nothing is lifted any more once it is not', async () => {
    const { one, text } = await start({ ...named, containment: 'monitor' });
    const client = open(one.port);
    const twoNames = 'GET http://api.example.com/ HTTP/1.1\r\nHost: evil.example\r\n\r\n';
    client.socket.write(twoNames);
    await until(() => client.received().endsWith('ok'));
    const before = text();
    one.gate = compiledGate({ ...named, revision: 2 });
    one.proxy.rejudge();
    client.socket.write(twoNames);
    await until(() => client.isOver());
    assert.equal(text(), before);
    await until(() => one.records.some(({ kind, end }) => kind === 'flow' && end !== undefined));
    assert.equal(one.records.find(({ kind, end }) => kind === 'flow' && end !== undefined)?.reason, 'flow-cut');
  });

  test('that goes on unread is cut by a plan that denies what it may be', async () => {
    const { one } = await start({ ...named, containment: 'monitor' }, 100);
    const client = open(one.port);
    client.socket.write('POST /secret HTTP/1.1\r\n');
    await until(() => client.received() !== '');
    const uploads = { name: 'uploads', action: 'deny', http: { methods: ['POST'] } };
    one.gate = compiledGate({ ...named, containment: 'monitor', revision: 2, rules: [uploads, ...named.rules] });
    one.proxy.rejudge();
    await until(() => client.isOver() && one.records.some(({ end }) => end !== undefined));
    const { verdict, reason, rule } = one.records.at(-1)!;
    assert.deepEqual([verdict, reason, rule?.name], ['deny', 'flow-cut', 'uploads']);
  });

  test('that speaks out of turn is recorded under the rule of the plan in force', async () => {
    const { one } = await start(named, undefined, '220 ready\r\n');
    const client = open(one.port);
    await until(() => client.received() !== '');
    const unrelated = { name: 'unrelated', web: ['other'], log: 'none' };
    const web = { ...named.web, other: ['other.example.com'] };
    one.gate = compiledGate({ ...named, web, revision: 2, rules: [unrelated, ...named.rules] });
    one.proxy.rejudge();
    client.socket.write(clientHelloStream({ sni: 'api.example.com' }));
    await until(() => client.isOver() && one.records.some(({ end }) => end !== undefined));
    const { reason, rule, revision } = one.records.at(-1)!;
    assert.deepEqual([reason, rule?.name, revision], ['spoke-out-of-turn', 'named', 2]);
  });

  test('that was dialled while a plan came that denies it is cut', async () => {
    const { one, held } = await start(named);
    let isChanged = false;
    const change = (): void => {
      if (isChanged) return;
      isChanged = true;
      one.gate = compiledGate({ ...named, revision: 2, rules: [{ name: 'closed', action: 'deny' }] });
      one.proxy.rejudge();
    };
    one.onDial = change;
    const client = open(one.port);
    await until(() => isChanged && client.isOver() && held() === 0);
    assert.equal(one.records.at(-1)?.reason, 'flow-cut');
  });

  describe('that became a WebSocket', () => {
    const upgrade =
      'GET /chat HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n';
    const http = { methods: ['GET'], paths: ['/chat'], websocket: 'allow' };
    const chat: Sketch = { ...named, rules: [{ web: ['named'], name: 'chat', http }] };
    const switches = (socket: Socket): void => {
      socket.on('end', () => socket.end());
      socket.once('data', () => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
        socket.on('data', (bytes) => socket.write(bytes));
      });
    };
    const chatting = async () => {
      const { server } = recordingServer(switches);
      const binding: Binding = { ...loopbackBinding, addresses: [address('93.184.216.34')] };
      const one = await lab(await listen(server), compiledGate(chat), {
        ways: syntheticWays({ at: () => binding, contains: () => true }),
      });
      closing.push(one.close, () => new Promise((resolve) => server.close(resolve)));
      const client = open(one.port);
      client.socket.write(upgrade);
      await until(() => client.received().endsWith('\r\n\r\n'));
      client.socket.write('frames');
      await until(() => client.received().endsWith('frames'));
      return { one, client };
    };

    test('lives on under a plan that permits it still', async () => {
      const { one, client } = await chatting();
      one.gate = compiledGate({ ...chat, revision: 2 });
      one.proxy.rejudge();
      client.socket.write('more');
      await until(() => client.received().endsWith('more'));
    });

    const plans: Readonly<Record<string, Sketch['rules']>> = {
      'permits the request and no WebSocket': [{ web: ['named'], name: 'chat', http: { ...http, websocket: 'deny' } }],
      'permits another path': [{ web: ['named'], name: 'chat', http: { ...http, paths: ['/talk'] } }],
      'denies what may pass in it': [
        { action: 'deny', web: ['named'], name: 'never', http: { methods: ['DELETE'] } },
        ...chat.rules,
      ],
    };
    for (const [what, rules] of Object.entries(plans))
      test(`is cut by a plan that ${what}`, async () => {
        const { one, client } = await chatting();
        one.gate = compiledGate({ ...chat, revision: 2, rules });
        one.proxy.rejudge();
        await until(() => client.isOver());
      });
  });
});
