import { gunzipSync } from 'node:zlib';

/**
 * Capture files to packets: pcap (both byte orders, micro- and nanoseconds) and pcapng, gzip-compressed or not.
 * For tests over files that somebody else recorded; a file that is not one throws.
 */

/** One captured frame. `frame` counts from 1 over the file, as other tools number them. */
export interface CapturedFrame {
  readonly frame: number;
  /** LINKTYPE_ number of the interface it was captured on. */
  readonly linkType: number;
  /** Captured bytes; fewer than `wireLength` where the capture cut them. */
  readonly bytes: Uint8Array;
  readonly wireLength: number;
  /** Milliseconds since the epoch; 0 where the format does not say. */
  readonly at: number;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const readCapture = (file: Uint8Array): CapturedFrame[] => {
  const bytes = file[0] === 0x1f && file[1] === 0x8b ? new Uint8Array(gunzipSync(file)) : file;
  if (bytes.length < 24) throw new Error('a capture file has at least 24 bytes');
  return view(bytes).getUint32(0) === 0x0a0d0d0a ? readBlocks(bytes) : readClassic(bytes);
};

const readClassic = (bytes: Uint8Array): CapturedFrame[] => {
  const data = view(bytes);
  const magics = new Map([
    [0xd4c3b2a1, { little: true, perMillisecond: 1e3 }],
    [0xa1b2c3d4, { little: false, perMillisecond: 1e3 }],
    [0x4d3cb2a1, { little: true, perMillisecond: 1e6 }],
    [0xa1b23c4d, { little: false, perMillisecond: 1e6 }],
  ]);
  const format = magics.get(data.getUint32(0));
  if (format === undefined) throw new Error('neither pcap nor pcapng');
  const linkType = data.getUint32(20, format.little) & 0xffff;
  const frames: CapturedFrame[] = [];
  for (let at = 24; at + 16 <= bytes.length; ) {
    const captured = data.getUint32(at + 8, format.little);
    frames.push({
      frame: frames.length + 1,
      linkType,
      bytes: bytes.subarray(at + 16, at + 16 + captured),
      wireLength: data.getUint32(at + 12, format.little),
      at: data.getUint32(at, format.little) * 1000 + data.getUint32(at + 4, format.little) / format.perMillisecond,
    });
    at += 16 + captured;
  }
  return frames;
};

const sectionHeader = 0x0a0d0d0a;
const interfaceDescription = 1;
const obsoletePacket = 2;
const simplePacket = 3;
const enhancedPacket = 6;

const readBlocks = (bytes: Uint8Array): CapturedFrame[] => {
  const data = view(bytes);
  const frames: CapturedFrame[] = [];
  let little = true;
  let linkTypes: number[] = [];
  const add = (linkType: number | undefined, at: number, captured: number, wireLength: number): void => {
    if (linkType === undefined) throw new Error('a pcapng packet of an interface that was not described');
    frames.push({ frame: frames.length + 1, linkType, bytes: bytes.subarray(at, at + captured), wireLength, at: 0 });
  };
  for (let at = 0; at + 12 <= bytes.length; ) {
    const type = data.getUint32(at, little);
    if (type === sectionHeader) {
      little = data.getUint32(at + 8) === 0x4d3c2b1a;
      linkTypes = [];
    }
    const length = data.getUint32(at + 4, little);
    if (length < 12) throw new Error('a pcapng block below its least length');
    if (type === interfaceDescription) linkTypes.push(data.getUint16(at + 8, little));
    else if (type === enhancedPacket) {
      const captured = data.getUint32(at + 20, little);
      add(linkTypes[data.getUint32(at + 8, little)], at + 28, captured, data.getUint32(at + 24, little));
    } else if (type === obsoletePacket) {
      const captured = data.getUint32(at + 20, little);
      add(linkTypes[data.getUint16(at + 8, little)], at + 28, captured, data.getUint32(at + 24, little));
    } else if (type === simplePacket) {
      const wireLength = data.getUint32(at + 8, little);
      add(linkTypes[0], at + 12, Math.min(wireLength, length - 16), wireLength);
    }
    at += length;
  }
  return frames;
};
