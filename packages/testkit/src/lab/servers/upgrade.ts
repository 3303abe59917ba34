/** Upgraded connections: a WebSocket (RFC 6455) that echoes each message, and any other protocol as an echo of bytes. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** RFC 6455, 1.3. */
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const longestMessage = 64 * 1024;
const opcodeClose = 8;
const opcodePing = 9;
const opcodePong = 10;

export function upgradeConnection(request: IncomingMessage, socket: Socket): void {
  const protocol = request.headers.upgrade ?? 'echo';
  const key = request.headers['sec-websocket-key'];
  const accept =
    key === undefined
      ? ''
      : `Sec-WebSocket-Accept: ${createHash('sha1')
          .update(key + acceptSuffix)
          .digest('base64')}\r\n`;
  socket.on('error', () => socket.destroy());
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${accept}\r\n`);
  if (key === undefined) socket.pipe(socket);
  else echoFrames(socket);
}

function echoFrames(socket: Socket): void {
  let buffered: Buffer = Buffer.alloc(0);
  socket.on('end', () => socket.end());
  socket.on('data', (data: Buffer) => {
    buffered = Buffer.concat([buffered, data]);
    for (let frame = readFrame(buffered); frame !== undefined; frame = readFrame(buffered)) {
      buffered = buffered.subarray(frame.end);
      if (frame.opcode === opcodePong) continue;
      socket.write(writeFrame(frame.opcode === opcodePing ? opcodePong : frame.opcode, frame.final, frame.payload));
      if (frame.opcode === opcodeClose) socket.end();
    }
    if (buffered.length > longestMessage) socket.destroy();
  });
}

interface Frame {
  readonly opcode: number;
  readonly final: boolean;
  readonly payload: Buffer;
  readonly end: number;
}

/** A whole frame of a client, which always masks; undefined until its last byte is there. */
function readFrame(data: Buffer): Frame | undefined {
  if (data.length < 2) return undefined;
  const short = data[1]! & 0x7f;
  const head = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (data.length < head + 4) return undefined;
  const length = short === 126 ? data.readUInt16BE(2) : short === 127 ? Number(data.readBigUInt64BE(2)) : short;
  const end = head + 4 + length;
  if (data.length < end) return undefined;
  const mask = data.subarray(head, head + 4);
  const payload = Buffer.from(data.subarray(head + 4, end).map((octet, index) => octet ^ mask[index % 4]!));
  return { opcode: data[0]! & 0x0f, final: (data[0]! & 0x80) !== 0, payload, end };
}

function writeFrame(opcode: number, final: boolean, payload: Buffer): Buffer {
  const head =
    payload.length < 126
      ? Buffer.from([0, payload.length])
      : Buffer.from([0, 126, payload.length >> 8, payload.length & 0xff]);
  head[0] = opcode | (final ? 0x80 : 0);
  return Buffer.concat([head, payload]);
}
