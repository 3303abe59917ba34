/** UDP services: an echo, a clock that tells the time as NTP does (RFC 5905), and one that only records. */
import { createSocket } from 'node:dgram';
import { firstBytes, type Place, record } from './recorder.ts';

/** The answer to a datagram, or undefined for silence. */
export type Reply = (datagram: Buffer) => Buffer | undefined;

export const echo: Reply = (datagram) => datagram;
export const silence: Reply = () => undefined;

/** Seconds from 1900 (NTP) to 1970 (Unix). */
const ntpOffset = 2_208_988_800;

export const ntp: Reply = (datagram) => {
  if (datagram.length < 48) return undefined;
  const reply = Buffer.alloc(48);
  // No leap warning, version 4, mode 4 (server); stratum 1.
  reply.set([0x24, 1, datagram[2]!, 0xec]);
  datagram.copy(reply, 24, 40, 48);
  const now = Date.now();
  for (const offset of [16, 32, 40]) {
    reply.writeUInt32BE((Math.floor(now / 1000) + ntpOffset) >>> 0, offset);
    reply.writeUInt32BE(Math.floor(((now % 1000) / 1000) * 2 ** 32), offset + 4);
  }
  return reply;
};

export function listenUdp(place: Place, reply: Reply): Promise<void> {
  const socket = createSocket(place.address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (datagram, { address, port }) => {
    record(place, { address, port }, { kind: 'datagram', bytes: firstBytes(datagram), length: datagram.length });
    const answer = reply(datagram);
    if (answer !== undefined) socket.send(answer, port, address);
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(place.port, place.address, () => {
      socket.off('error', reject);
      resolve();
    });
  });
}
