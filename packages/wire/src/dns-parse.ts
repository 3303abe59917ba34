import { err, ok, type Result } from '@cofferdam/net';
import { ByteReader } from './bytes.ts';
import {
  type DnsMessage,
  type DnsQuery,
  type DnsQuestion,
  type DnsRecord,
  type Edns,
  type EdnsOption,
  opcode,
  recordType,
} from './dns-message.ts';
import { readName } from './dns-name.ts';
import { readRecordData } from './dns-record.ts';

/** Records of all sections of one message. Ours: far above what a resolver sends, far below what 64 KB could hold. */
const maximumRecords = 1_024;

const malformed = (message: string): Result<never> =>
  err('dns-malformed', message, 'a message as RFC 1035 and RFC 6891 define it, without trailing bytes');

interface Sections {
  readonly questions: DnsQuestion[];
  readonly records: [DnsRecord[], DnsRecord[], DnsRecord[]];
  readonly edns: { value: Edns; upperResponseCode: number } | undefined;
}

/** Parses a whole DNS message, of either kind, to its last byte. */
export const parseDnsMessage = (bytes: Uint8Array): Result<DnsMessage> => {
  if (bytes.length < 12) return malformed('shorter than a DNS header');
  const reader = new ByteReader(bytes);
  const id = reader.u16();
  const flags = reader.u16();
  const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()] as const;
  const parsed = readSections(reader, counts);
  if (!parsed.ok) return parsed;
  const { questions, records, edns } = parsed.value;
  const bit = (place: number): boolean => ((flags >> place) & 1) === 1;
  return ok({
    id,
    response: bit(15),
    opcode: (flags >> 11) & 15,
    authoritative: bit(10),
    truncated: bit(9),
    recursionDesired: bit(8),
    recursionAvailable: bit(7),
    authenticData: bit(5),
    checkingDisabled: bit(4),
    responseCode: (edns?.upperResponseCode ?? 0) * 16 + (flags & 15),
    questions,
    answers: records[0],
    authorities: records[1],
    additionals: records[2],
    edns: edns?.value,
  });
};

const readSections = (reader: ByteReader, counts: readonly [number, number, number, number]): Result<Sections> => {
  if (counts[0] > 1) return malformed('more than one question');
  if (counts[1] + counts[2] + counts[3] > maximumRecords) return malformed(`more than ${maximumRecords} records`);
  const questions: DnsQuestion[] = [];
  for (let i = 0; i < counts[0]; i++) {
    const name = readName(reader, reader.bytes);
    if (name === undefined) return malformed('the name of the question is malformed');
    questions.push({ name, type: reader.u16(), class: reader.u16() });
  }
  const records: Sections['records'] = [[], [], []];
  let edns: Sections['edns'];
  for (const section of [0, 1, 2] as const) {
    for (let i = 0; i < counts[section + 1]!; i++) {
      const name = readName(reader, reader.bytes);
      if (name === undefined) return malformed('the name of a record is malformed');
      const type = reader.u16();
      const klass = reader.u16();
      const ttl = reader.u32();
      const length = reader.u16();
      const start = reader.position;
      const data = reader.take(length);
      if (reader.failed) return malformed('a record ends beyond the message');
      if (type === recordType.OPT) {
        // RFC 6891, section 6.1.1: one, in the additional section, owned by the root.
        const options = readOptions(data);
        if (section !== 2 || edns !== undefined || name.wire.length !== 1 || options === undefined) {
          return malformed('a misplaced or malformed OPT record');
        }
        const value = { udpSize: klass, version: (ttl >>> 16) & 0xff, dnssecOk: (ttl & 0x8000) !== 0, options };
        edns = { value, upperResponseCode: ttl >>> 24 };
        continue;
      }
      const parsed = readRecordData(reader.bytes, start, start + length, type, klass);
      if (parsed === undefined) return malformed(`the data of a record of type ${type} is malformed`);
      records[section].push({ name, type, class: klass, ttl: ttl > 0x7fff_ffff ? 0 : ttl, data: parsed });
    }
  }
  return reader.endedExactly ? ok({ questions, records, edns }) : malformed('bytes missing or left over at the end');
};

const readOptions = (data: Uint8Array): EdnsOption[] | undefined => {
  const reader = new ByteReader(data);
  const options: EdnsOption[] = [];
  while (reader.remaining > 0) options.push({ code: reader.u16(), data: reader.take(reader.u16()) });
  return reader.failed ? undefined : options;
};

/**
 * Parses what a client may ask: a query of opcode QUERY with exactly one question and no answers or authorities. Error codes:
 * `dns-malformed`, `dns-not-a-query` (a response: never answer it), `dns-opcode` (answer NOTIMP).
 */
export const parseDnsQuery = (bytes: Uint8Array): Result<DnsQuery> => {
  if (bytes.length >= 12 && (bytes[2]! & 0x80) !== 0) {
    return err('dns-not-a-query', 'a response where a query is expected', 'a message whose QR bit is 0');
  }
  if (bytes.length >= 12 && ((bytes[2]! >> 3) & 15) !== opcode.query) {
    return err('dns-opcode', 'an operation other than a query', 'opcode 0');
  }
  const parsed = parseDnsMessage(bytes);
  if (!parsed.ok) return parsed;
  const { questions, answers, authorities } = parsed.value;
  const question = questions[0];
  if (question === undefined) return malformed('no question');
  if (answers.length + authorities.length > 0) return malformed('a query with answers');
  return ok({ ...parsed.value, question });
};

/** Parses what a resolver may say: a response, with the question it answers or (errors) without. */
export const parseDnsResponse = (bytes: Uint8Array): Result<DnsMessage> => {
  const parsed = parseDnsMessage(bytes);
  if (!parsed.ok || parsed.value.response) return parsed;
  return err('dns-not-a-response', 'a query where a response is expected', 'a message whose QR bit is 1');
};
