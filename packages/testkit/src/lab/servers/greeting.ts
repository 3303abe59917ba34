/** Servers that speak before the client does: SMTP (RFC 5321) and the MySQL protocol, as far as real clients need them. */
import type { Socket } from 'node:net';

const lineLimit = 64 * 1024;

export function smtpServer(socket: Socket): void {
  let text = '';
  let inMessage = false;
  const say = (line: string): boolean => socket.write(`${line}\r\n`);
  say('220 mail.example ESMTP lab');
  socket.on('end', () => socket.end());
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    if (text.length > lineLimit) socket.destroy();
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end).replace(/\r$/, '');
      text = text.slice(end + 1);
      if (inMessage) {
        if (line !== '.') continue;
        inMessage = false;
        say('250 accepted');
        continue;
      }
      const verb = line.slice(0, 4).toUpperCase();
      inMessage = verb === 'DATA';
      if (verb === 'EHLO') say('250-mail.example\r\n250 8BITMIME');
      else if (verb === 'DATA') say('354 go ahead');
      else if (verb === 'QUIT') socket.end('221 bye\r\n');
      else say('250 ok');
    }
  });
}

/** Any login succeeds; the answer to any query is one row that says `lab`. */
export function mysqlServer(socket: Socket): void {
  let buffered: Buffer = Buffer.alloc(0);
  let loggedIn = false;
  const send = (sequence: number, payload: Uint8Array): void => {
    const head = Buffer.alloc(4);
    head.writeUIntLE(payload.length, 0, 3);
    head[3] = sequence;
    socket.write(Buffer.concat([head, payload]));
  };
  send(0, mysqlHandshake());
  socket.on('end', () => socket.end());
  socket.on('data', (data: Buffer) => {
    buffered = Buffer.concat([buffered, data]);
    if (buffered.length > lineLimit) socket.destroy();
    while (buffered.length >= 4 && buffered.length >= 4 + buffered.readUIntLE(0, 3)) {
      const packet = buffered.subarray(4, 4 + buffered.readUIntLE(0, 3));
      const sequence = buffered[3]! + 1;
      buffered = buffered.subarray(4 + packet.length);
      if (!loggedIn || packet[0] !== comQuery) {
        if (loggedIn && packet[0] === comQuit) socket.end();
        else send(sequence, okPacket);
        loggedIn = true;
        continue;
      }
      for (const [index, payload] of resultSet.entries()) send(sequence + index, payload);
    }
  });
}

const comQuit = 1;
const comQuery = 3;
const okPacket = Buffer.from([0, 0, 0, 2, 0, 0, 0]);
const endOfRows = Buffer.from([0xfe, 0, 0, 2, 0]);
const lengthCoded = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
const columnDefinition = Buffer.concat([
  ...['def', '', '', '', 'answer', ''].map(lengthCoded),
  // 12 octets follow: character set utf8, length 64, type VAR_STRING, no flags, no decimals, filler.
  Buffer.from([12, 33, 0, 64, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0]),
]);
const resultSet = [Buffer.from([1]), columnDefinition, endOfRows, lengthCoded('lab'), endOfRows];

function mysqlHandshake(): Buffer {
  const salt = 'a-salt-of-20-letters';
  // LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH
  const capabilities = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000;
  const fixed = Buffer.alloc(18);
  fixed.writeUInt16LE(capabilities & 0xffff, 0);
  fixed[2] = 33;
  fixed.writeUInt16LE(2, 3);
  fixed.writeUInt16LE(capabilities >>> 16, 5);
  fixed[7] = salt.length + 1;
  return Buffer.concat([
    Buffer.from([10]),
    Buffer.from('8.0.36-lab\0'),
    Buffer.from([1, 0, 0, 0]),
    Buffer.from(`${salt.slice(0, 8)}\0`),
    fixed,
    Buffer.from(`${salt.slice(8)}\0mysql_native_password\0`),
  ]);
}
