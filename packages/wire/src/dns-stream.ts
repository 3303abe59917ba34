/** DNS over TCP: each message behind two bytes of length (RFC 1035, section 4.2.2). */

/** One message as it is sent over TCP. `undefined` where it is longer than the length can say. */
export const dnsFrame = (message: Uint8Array): Uint8Array | undefined => {
  if (message.length > 0xffff) return undefined;
  const framed = new Uint8Array(message.length + 2);
  framed[0] = message.length >> 8;
  framed[1] = message.length & 0xff;
  framed.set(message, 2);
  return framed;
};

export interface DnsStreamReader {
  /** Takes the next bytes and gives the messages that are complete now, in order. Holds no more than one message. */
  push(bytes: Uint8Array): Uint8Array[];
}

export const createDnsStreamReader = (): DnsStreamReader => {
  const length: number[] = [];
  let message = new Uint8Array(0);
  let fill = 0;

  return {
    push(bytes) {
      const complete: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; ) {
        if (length.length < 2) {
          length.push(bytes[at++]!);
          if (length.length < 2) continue;
          message = new Uint8Array(length[0]! * 256 + length[1]!);
          fill = 0;
        } else {
          const piece = bytes.subarray(at, at + message.length - fill);
          message.set(piece, fill);
          fill += piece.length;
          at += piece.length;
        }
        if (fill === message.length) {
          complete.push(message);
          length.length = 0;
        }
      }
      return complete;
    },
  };
};
