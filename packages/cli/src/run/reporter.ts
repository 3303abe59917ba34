import {
  type AnyRecord,
  askedFor,
  type DestinationSummary,
  type DnsRecord,
  deciderText,
  decisiveReason,
  decisiveRule,
  destinationText,
  hint,
  httpCondition,
  requestText,
  ruleText,
  sanitise,
  summarise,
  verdictText,
} from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import { reasonEntry } from '@cofferdam/verdict';

/** What a run says on stderr: a line for each new denial as it happens, and a table at the end. Pure: lines out. */
export interface Reporter {
  /** What to say of a record, where it is worth it: what was denied, and on a second line, indented, what would permit it. */
  readonly line: (record: AnyRecord) => string | undefined;
  readonly table: () => readonly string[];
}

/** Records kept for the table. Past that, only their numbers count on. */
const kept = 20_000;

const subject = (record: AnyRecord): string => {
  if (record.kind === 'dns') return sanitise(record.name);
  const request = requestText(record);
  const asked = askedFor(record);
  return [
    destinationText(record),
    ...(request === '' ? [] : [request]),
    ...(asked === undefined ? [] : [`(asked for ${asked})`]),
  ].join(' ');
};
/** The connection of a request that was denied is denied for that request, and is not said again. */
const protocolOf = (record: AnyRecord): string =>
  record.kind === 'dns' ? 'dns' : requestText(record) === '' ? record.protocol : 'http';

const question = (record: DnsRecord): string => `${record.agent.name ?? ''} ${record.name}`;
const isAnswered = (record: AnyRecord): record is DnsRecord =>
  record.kind === 'dns' && record.verdict === 'permit' && record.synthetic.length > 0;

/** In few words, what would permit it. Empty: nothing the policy could say would. */
const remedy = (record: AnyRecord, group: string): string => {
  const found = hint(record, { group });
  if (found === undefined) return '';
  if (found.kind === 'advice') return found.note;
  const reason = decisiveReason(record);
  const http = httpCondition(record);
  const only = http === undefined ? '' : ` with \`tls: absent\` and \`http: ${sanitise(http)}\``;
  if (reason === 'rule-denies' || reason === 'no-permit-reachable') {
    const rule = decisiveRule(record);
    if (rule !== undefined) return `write a permit rule${only} above \`${ruleText(rule)}\`, which denies`;
  }
  if (reason === 'plain-http-unread') return 'add `tls: absent` to the rule, or use TLS';
  if (reason === 'reserved-address')
    return 'only a `cidr` inside the reserved range opens it; metadata services hand out credentials, so think twice';
  if (record.kind === 'dns') return `add \`${sanitise(record.name)}\` to the \`web\` of a permit rule`;
  const { address, port } = record.destination;
  const over = port === undefined ? record.protocol : `${record.protocol} port ${port}`;
  const name = reason === 'quic' ? undefined : record.addressNames[0];
  if (name !== undefined) {
    return http === undefined
      ? `add \`${sanitise(name)}\` to the \`web\` of a permit rule for ${over}`
      : `write a permit rule for ${over} with \`${sanitise(name)}\` in its \`web\`, ${only.slice(' with '.length)}`;
  }
  return `permit ${over} to a SmartGroup with \`cidr: ${formatAddress(address)}/${address.family === 4 ? 32 : 128}\`${only}`;
};

export const createReporter = (group: string): Reporter => {
  const said = new Set<string>();
  const records: AnyRecord[] = [];
  /** Names that were answered in one family or the other: that one family is denied then keeps nobody from reaching them. */
  const answered = new Set<string>();
  let dropped = 0;
  const isMoot = (record: AnyRecord): boolean =>
    record.kind === 'dns' && record.reason === 'dns-address-denied' && answered.has(question(record));

  return {
    line(record) {
      if (records.length < kept) records.push(record);
      else dropped += 1;
      if (isAnswered(record) && answered.size < kept) answered.add(question(record));
      if (verdictText(record) === 'permit' || isMoot(record)) return undefined;
      const reason = decisiveReason(record);
      const decider = deciderText(record);
      const key = `${protocolOf(record)} ${subject(record)} ${reason} ${decider}`;
      if (said.has(key)) return undefined;
      if (said.size < kept) said.add(key);
      const word = record.verdict === 'deny' ? 'denied' : 'would deny';
      const by = decider === '' ? '' : ` by ${decider}`;
      const cure = remedy(record, group);
      return `${word} ${protocolOf(record)} ${subject(record)}${by} (${reason}: ${reasonEntry(reason).summary})${cure === '' ? '' : `\n  to permit it: ${cure}`}`;
    },
    table() {
      const { reached, denied, missing } = summarise(records.filter((record) => !isMoot(record)));
      const rows = [...reached, ...denied, ...missing];
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

const outcomeOf = ({ verdict, answer }: DestinationSummary): string =>
  answer === 'no-such-name'
    ? 'no such name'
    : verdict === 'permit' && answer === 'none'
      ? 'no answer'
      : verdictWord[verdict];

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
  outcomeOf(row),
  row.destination,
  row.kind === 'request' ? 'http' : row.protocol,
  String(row.count),
  row.kind === 'dns' ? '' : bytesText(row.bytes),
  row.rule,
  row.verdict === 'permit' ? '' : row.reason,
];
