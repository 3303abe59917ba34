import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { describe, test } from 'node:test';
import { createRelay, type RelayOptions } from '../src/index.ts';
import { seldom } from '../src/seldom.ts';
import { converse, listen, recordingServer } from './proxy-lab.ts';

const relayTo = async (port: number, over: Partial<RelayOptions> = {}) => {
  const listener = createServer({ allowHalfOpen: true });
  const warnings: string[] = [];
  const relay = createRelay({
    listener,
    dial: over.dial ?? (() => connect({ port, host: '127.0.0.1', allowHalfOpen: true })),
    warn: (text) => warnings.push(text),
    connections: over.connections ?? 10,
    idle: over.idle ?? 10_000,
  });
  return { relay, listener, warnings, port: await listen(listener) };
};

describe('relay', () => {
  test('bytes and ends pass one way at a time', async () => {
    const serve = recordingServer((socket) => socket.on('end', () => socket.end(`you said ${serve.text()}`)));
    const one = await relayTo(await listen(serve.server));
    assert.deepEqual(await converse(one.port, ['hello', ' there'], { half: true }), {
      received: 'you said hello there',
      end: 'end',
    });
    one.listener.close();
    serve.server.close();
  });

  test('each connection has one of its own behind it', async () => {
    const serve = recordingServer((socket) => socket.end());
    const one = await relayTo(await listen(serve.server));
    await Promise.all([converse(one.port, []), converse(one.port, [])]);
    assert.equal(serve.connections(), 2);
    one.listener.close();
    serve.server.close();
  });

  test('a reset passes, nobody listening is a reset, and so is one connection too many', async () => {
    const resetting = recordingServer((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const one = await relayTo(await listen(resetting.server));
    assert.equal((await converse(one.port, ['x'])).end, 'reset');
    assert.deepEqual(one.warnings, [], 'what became of a connection that was made is nobody’s failure to make it');
    resetting.server.close();
    const nobody = await relayTo(1);
    assert.equal((await converse(nobody.port, ['x'])).end, 'reset');
    const none = await relayTo(1, { connections: 0 });
    assert.equal((await converse(none.port, ['x'])).end, 'reset');
    const broken = await relayTo(1, {
      dial: () => {
        throw new Error('no free port');
      },
    });
    assert.equal((await converse(broken.port, ['x'])).end, 'reset');
    assert.deepEqual(
      [nobody, none, broken].map(({ warnings }) => warnings),
      [['connect ECONNREFUSED 127.0.0.1:1'], ['0 connections are open, and one more was reset'], ['no free port']],
    );
    for (const { listener } of [one, nobody, none, broken]) listener.close();
  });

  test('idle connections are cut', async () => {
    const serve = recordingServer(() => undefined);
    const one = await relayTo(await listen(serve.server), { idle: 50 });
    assert.equal((await converse(one.port, [])).end, 'reset');
    one.listener.close();
    serve.server.close();
  });
});

test('the same is said once in ten seconds, and something else at once', () => {
  const said: string[] = [];
  let now = 0;
  const say = seldom(
    (text) => said.push(`${now / 1000} ${text}`),
    () => now,
  );
  for (now = 0; now <= 20_000; now += 2500) for (const text of ['refused', 'refused', 'no port']) say(text);
  assert.deepEqual(said, ['0 refused', '0 no port', '10 refused', '10 no port', '20 refused', '20 no port']);
});
