import {
  type AnyRecord,
  type DestinationSummary,
  decisiveReason,
  decisiveRule,
  destinationText,
  flowName,
  hint,
  ruleText,
  sanitise,
  summarise,
  verdictText,
} from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import { reasonEntry } from '@cofferdam/verdict';

/** What a run says on stderr: a line for each new denial as it happens, and a table at the end. Pure: lines out. */
export interface Reporter {
  /** The line for a record, where it is worth one. */
  readonly line: (record: AnyRecord) => string | undefined;
  readonly table: () => readonly string[];
}

/** Records kept for the table. Past that, only their numbers count on. */
const kept = 20_000;

const subject = (record: AnyRecord): string =>
  record.kind === 'dns' ? sanitise(record.name) : destinationText(record);
const protocolOf = (record: AnyRecord): string => (record.kind === 'dns' ? 'dns' : record.protocol);

/** In few words, what would permit it. Empty: nothing the policy could say would. */
const remedy = (record: AnyRecord, group: string): string => {
  const found = hint(record, { group });
  if (found === undefined) return '';
  if (found.kind === 'advice') return found.note;
  const name = record.kind === 'dns' ? sanitise(record.name) : flowName(record);
  const reason = decisiveReason(record);
  if (reason === 'rule-denies' || reason === 'no-permit-reachable') return found.note;
  if (reason === 'plain-http-unread') return 'add `tls: absent` to the rule, or use TLS';
  if (reason === 'reserved-address')
    return 'only a `cidr` inside the reserved range opens it; metadata services hand out credentials, so think twice';
  if (record.kind === 'dns') return name === undefined ? '' : `add \`${name}\` to the \`web\` of a permit rule`;
  const { address, port } = record.destination;
  const over = port === undefined ? record.protocol : `${record.protocol} port ${port}`;
  if (name !== undefined && reason !== 'quic') return `add \`${name}\` to the \`web\` of a permit rule for ${over}`;
  return `permit ${over} to a SmartGroup with \`cidr: ${formatAddress(address)}/${address.family === 4 ? 32 : 128}\``;
};

export const createReporter = (group: string): Reporter => {
  const said = new Set<string>();
  const records: AnyRecord[] = [];
  let dropped = 0;

  return {
    line(record) {
      if (records.length < kept) records.push(record);
      else dropped += 1;
      if (verdictText(record) === 'permit') return undefined;
      const reason = decisiveReason(record);
      const rule = decisiveRule(record);
      const key = `${protocolOf(record)} ${subject(record)} ${reason} ${ruleText(rule)}`;
      if (said.has(key)) return undefined;
      if (said.size < kept) said.add(key);
      const word = record.verdict === 'deny' ? 'denied' : 'would deny';
      const by = rule === undefined ? 'by default' : `by ${ruleText(rule)}`;
      const cure = remedy(record, group);
      return `${word} ${protocolOf(record)} ${subject(record)} ${by} (${reason}: ${reasonEntry(reason).summary})${cure === '' ? '' : `; to permit it: ${cure}`}`;
    },
    table() {
      const { reached, denied } = summarise(records);
      const rows = [...reached, ...denied];
      if (rows.length === 0) return ['reached nothing, and nothing was denied'];
      const cells = rows.map(cellsOf);
      const titles = ['', 'DESTINATION', 'PROTOCOL', 'TIMES', 'BYTES', 'RULE', 'REASON'];
      const widths = titles.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
      const draw = (row: readonly string[]): string =>
        row
          .map((cell, i) => (i === 3 || i === 4 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
          .join('  ')
          .trimEnd();
      const shown = cells.slice(0, 50);
      return [
        draw(titles),
        ...shown.map(draw),
        ...(cells.length > shown.length ? [`… and ${cells.length - shown.length} more: see \`cofferdam flows\``] : []),
        ...(dropped > 0 ? [`${dropped} later records are not in this table: see \`cofferdam flows\``] : []),
      ];
    },
  };
};

const verdictWord = { permit: 'reached', deny: 'DENIED', lifted: 'would be denied' } as const;

const bytesText = (bytes: bigint): string => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
};

const cellsOf = (row: DestinationSummary): readonly string[] => [
  verdictWord[row.verdict],
  row.destination,
  row.kind === 'request' ? 'http' : row.protocol,
  String(row.count),
  row.kind === 'dns' ? '' : bytesText(row.bytes),
  row.rule,
  row.verdict === 'permit' ? '' : row.reason,
];
