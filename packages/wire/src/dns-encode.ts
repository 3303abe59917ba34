import { err, ok, type Result } from '@cofferdam/net';
import { ByteWriter, latin1 } from './bytes.ts';
import { type DnsMessage, type DnsRecord, type Edns, recordType } from './dns-message.ts';
import type { DnsName } from './dns-name.ts';
import { canWriteRecord, writeRecordData } from './dns-record.ts';

export interface EncodedDns {
  readonly bytes: Uint8Array;
  /** The TC bit: set in the message given, or because answers or authorities did not fit. */
  readonly truncated: boolean;
}

const leastLimit = 512; // RFC 1035, section 2.3.4: every receiver takes this much
const largestMessage = 65_535;

/**
 * Writes a message in at most `limit` bytes (512 to 65,535; a UDP sender gives what the receiver's EDNS takes, a TCP sender
 * nothing). What does not fit is left out whole, record by record: additionals silently, answers and authorities with the TC
 * bit set. The question and OPT always stay, OPT without its options if need be. An error is a record whose data does not
 * belong to its type, or that cannot be copied out of its message.
 */
export const encodeDns = (message: DnsMessage, limit = largestMessage): Result<EncodedDns> => {
  const records = [message.answers, message.authorities, message.additionals];
  const unwritable = records.flat().find((record) => !canWriteRecord(record));
  if (unwritable !== undefined || message.questions.length > 1) {
    return err(
      'dns-unwritable',
      unwritable ? `the data of a record of type ${unwritable.type} cannot be written` : 'more than one question',
      'one question; data of the kind that belongs to the type',
    );
  }
  const most = Math.min(Math.max(limit, leastLimit), largestMessage);
  const writer = new ByteWriter();
  const names = new NameTable(writer);
  writer.u16(message.id).u16(flagWord(message)).append(new Uint8Array(8));
  for (const { name, type, class: klass } of message.questions) {
    names.write(name);
    writer.u16(type).u16(klass);
  }
  const opt = message.edns && encodeOpt(message.edns, message.responseCode, most - writer.length);
  const room = most - (opt?.length ?? 0);
  const counts = [0, 0, 0];
  let truncated = message.truncated;
  let full = false;
  for (const section of [0, 1, 2] as const) {
    for (const record of records[section]!) {
      if (full) break;
      const before = writer.length;
      writeRecord(writer, names, record);
      if (writer.length <= room) counts[section]!++;
      else {
        // Nothing that could point at its names is written after it.
        writer.truncate(before);
        full = true;
        if (section < 2) truncated = true;
      }
    }
  }
  if (opt !== undefined) writer.append(opt);
  const fields = [message.questions.length, counts[0]!, counts[1]!, counts[2]! + (opt === undefined ? 0 : 1)];
  fields.forEach((count, i) => {
    writer.patchU16(4 + i * 2, count);
  });
  writer.patchU16(2, flagWord(message) | (truncated ? 0x0200 : 0));
  return ok({ bytes: writer.finish(), truncated });
};

const flagWord = (message: DnsMessage): number => {
  const bit = (set: boolean, place: number): number => (set ? 1 << place : 0);
  return (
    bit(message.response, 15) |
    ((message.opcode & 15) << 11) |
    bit(message.authoritative, 10) |
    bit(message.truncated, 9) |
    bit(message.recursionDesired, 8) |
    bit(message.recursionAvailable, 7) |
    bit(message.authenticData, 5) |
    bit(message.checkingDisabled, 4) |
    (message.responseCode & 15)
  );
};

const encodeOpt = (edns: Edns, responseCode: number, room: number): Uint8Array => {
  const options = new ByteWriter();
  for (const { code, data } of edns.options) options.u16(code).u16(data.length).append(data);
  const kept = options.length + 11 <= room ? options.finish() : new Uint8Array(0);
  return new ByteWriter()
    .u8(0)
    .u16(recordType.OPT)
    .u16(edns.udpSize)
    .u8((responseCode >> 4) & 0xff)
    .u8(edns.version)
    .u16(edns.dnssecOk ? 0x8000 : 0)
    .u16(kept.length)
    .append(kept)
    .finish();
};

const writeRecord = (writer: ByteWriter, names: NameTable, record: DnsRecord): void => {
  names.write(record.name);
  writer.u16(record.type).u16(record.class).u32(record.ttl).u16(0);
  const start = writer.length;
  writeRecordData(writer, record.type, record.data, (name) => names.write(name));
  // A length above 65,535 does not fit any limit either, so that record is taken back.
  writer.patchU16(start - 2, (writer.length - start) & 0xffff);
};

/** Where each suffix written so far stands. Suffixes are shared only where their case is the same, so that case survives. */
class NameTable {
  readonly #writer: ByteWriter;
  readonly #places = new Map<string, number>();

  constructor(writer: ByteWriter) {
    this.#writer = writer;
  }

  write(name: DnsName): void {
    const { wire } = name;
    for (let at = 0; wire[at] !== 0; at += wire[at]! + 1) {
      const suffix = latin1(wire.subarray(at));
      const place = this.#places.get(suffix);
      if (place !== undefined) {
        this.#writer.u16(0xc000 | place);
        return;
      }
      // A pointer has 14 bits.
      if (this.#writer.length < 0x4000) this.#places.set(suffix, this.#writer.length);
      this.#writer.append(wire.subarray(at, at + wire[at]! + 1));
    }
    this.#writer.u8(0);
  }
}
