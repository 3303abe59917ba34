import { addressFromBytes, addressToBytes } from '@cofferdam/net';
import { ByteReader, type ByteWriter } from './bytes.ts';
import { type DnsRecord, type RecordData, recordClass, recordType } from './dns-message.ts';
import { type DnsName, readName } from './dns-name.ts';
import { readServiceBinding, writeServiceBinding } from './dns-svcb.ts';

/** Record data by type, to and from the wire. */

/**
 * Types whose data holds names that may be compressed (RFC 3597, section 4) and that are not taken apart here: MD, MF, MB,
 * MG, MR, MINFO, RP, AFSDB, RT, SIG, PX, NXT, NAPTR, KX, A6. Their bytes mean something only in the message they came in.
 */
const boundToTheirMessage = new Set([3, 4, 7, 8, 9, 14, 17, 18, 21, 24, 26, 30, 35, 36, 38]);

/** Reads the data of one record: `start` up to `end` of the message. `undefined`: malformed. */
export const readRecordData = (
  message: Uint8Array,
  start: number,
  end: number,
  type: number,
  klass: number,
): RecordData | undefined => {
  const data = new ByteReader(message, start, end);
  const parsed = klass === recordClass.IN ? readKnownType(data, message, type) : readOpaque(data);
  return data.endedExactly ? parsed : undefined;
};

const readOpaque = (data: ByteReader): RecordData => ({ kind: 'opaque', bytes: data.take(data.remaining) });

const readKnownType = (data: ByteReader, message: Uint8Array, type: number): RecordData | undefined => {
  switch (type) {
    case recordType.A:
    case recordType.AAAA: {
      const bytes = data.take(type === recordType.A ? 4 : 16);
      return data.failed ? undefined : { kind: 'address', address: addressFromBytes(bytes) };
    }
    case recordType.NS:
    case recordType.CNAME:
    case recordType.PTR:
    case recordType.DNAME: {
      const name = readName(data, message);
      return name && { kind: 'name', name };
    }
    case recordType.SOA: {
      const primary = readName(data, message);
      const mailbox = readName(data, message);
      const [serial, refresh, retry, expire, minimum] = [data.u32(), data.u32(), data.u32(), data.u32(), data.u32()];
      return primary && mailbox && { kind: 'soa', primary, mailbox, serial, refresh, retry, expire, minimum };
    }
    case recordType.MX: {
      const preference = data.u16();
      const exchange = readName(data, message);
      return exchange && { kind: 'mx', preference, exchange };
    }
    case recordType.SRV: {
      const [priority, weight, port] = [data.u16(), data.u16(), data.u16()];
      // RFC 2782 forbids a compressed target; RFC 3597 asks readers to take one all the same.
      const target = readName(data, message);
      return target && { kind: 'srv', priority, weight, port, target };
    }
    case recordType.TXT: {
      const strings: Uint8Array[] = [];
      while (data.remaining > 0) strings.push(data.take(data.u8()));
      return strings.length === 0 ? undefined : { kind: 'txt', strings };
    }
    case recordType.SVCB:
    case recordType.HTTPS: {
      const binding = readServiceBinding(data);
      return binding && { kind: 'service', binding };
    }
    default:
      return readOpaque(data);
  }
};

/** Whether the data is one that this type is written with, so that what is encoded can be read back. */
export const canWriteRecord = ({ type, class: klass, data }: DnsRecord): boolean => {
  if (type === recordType.OPT) return false;
  const opaqueType = klass !== recordClass.IN || !(type in dataKind);
  if (opaqueType) {
    const bound = boundToTheirMessage.has(type) || holdsNames.has(dataKind[type]);
    return data.kind === 'opaque' && !bound && data.bytes.length <= 0xffff;
  }
  if (data.kind !== dataKind[type]) return false;
  if (data.kind === 'address') return (data.address.family === 4) === (type === recordType.A);
  if (data.kind === 'txt') return data.strings.length > 0 && data.strings.every((each) => each.length <= 255);
  return true;
};

const dataKind: Readonly<Record<number, RecordData['kind']>> = {
  [recordType.A]: 'address',
  [recordType.AAAA]: 'address',
  [recordType.NS]: 'name',
  [recordType.CNAME]: 'name',
  [recordType.PTR]: 'name',
  [recordType.DNAME]: 'name',
  [recordType.SOA]: 'soa',
  [recordType.MX]: 'mx',
  [recordType.SRV]: 'srv',
  [recordType.TXT]: 'txt',
  [recordType.SVCB]: 'service',
  [recordType.HTTPS]: 'service',
};

/** Kinds whose bytes, kept opaque in another class, may hold pointers as well. */
const holdsNames = new Set<RecordData['kind'] | undefined>(['name', 'soa', 'mx', 'srv']);

/** Writes data that {@link canWriteRecord} accepts. `compressed` writes a name of the types that RFC 1035 compresses. */
export const writeRecordData = (
  writer: ByteWriter,
  type: number,
  data: RecordData,
  compressed: (name: DnsName) => void,
): void => {
  switch (data.kind) {
    case 'address':
      writer.append(addressToBytes(data.address));
      return;
    case 'name':
      if (type === recordType.DNAME) writer.append(data.name.wire);
      else compressed(data.name);
      return;
    case 'soa':
      compressed(data.primary);
      compressed(data.mailbox);
      writer.u32(data.serial).u32(data.refresh).u32(data.retry).u32(data.expire).u32(data.minimum);
      return;
    case 'mx':
      writer.u16(data.preference);
      compressed(data.exchange);
      return;
    case 'srv':
      writer.u16(data.priority).u16(data.weight).u16(data.port).append(data.target.wire);
      return;
    case 'txt':
      for (const each of data.strings) writer.u8(each.length).append(each);
      return;
    case 'service':
      writeServiceBinding(writer, data.binding);
      return;
    case 'opaque':
      writer.append(data.bytes);
      return;
  }
};
