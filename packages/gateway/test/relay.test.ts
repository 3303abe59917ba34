import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { describe, test } from 'node:test';
import { createRelay } from '../src/index.ts';
import { converse, listen, recordingServer } from './proxy-lab.ts';

const relayTo = async (port: number, over: { connections?: number; idle?: number } = {}) => {
  const listener = createServer({ allowHalfOpen: true });
  const relay = createRelay({
    listener,
    dial: () => connect({ port, host: '127.0.0.1', allowHalfOpen: true }),
    connections: over.connections ?? 10,
    idle: over.idle ?? 10_000,
  });
  return { relay, listener, port: await listen(listener) };
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
    resetting.server.close();
    const nobody = await relayTo(1);
    assert.equal((await converse(nobody.port, ['x'])).end, 'reset');
    const none = await relayTo(1, { connections: 0 });
    assert.equal((await converse(none.port, ['x'])).end, 'reset');
    for (const { listener } of [one, nobody, none]) listener.close();
  });

  test('idle connections are cut', async () => {
    const serve = recordingServer(() => undefined);
    const one = await relayTo(await listen(serve.server), { idle: 50 });
    assert.equal((await converse(one.port, [])).end, 'reset');
    one.listener.close();
    serve.server.close();
  });
});
