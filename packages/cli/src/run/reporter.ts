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
  requestConditions,
  requestText,
  ruleText,
  type SuppressedRecord,
  sanitise,
  summarise,
  verdictText,
} from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import type { DnsMode } from '@cofferdam/plan';
import { reasonEntry } from '@cofferdam/verdict';
import { bytesText } from '../bytes-text.ts';
import { deniedAddress } from '../denied-address.ts';
import { answerAdvice, nameCure } from '../name-cure.ts';

/** What a run says on stderr: a line for each new denial as it happens, and a table at the end. Pure: lines out. */
export interface Reporter {
  /** What to say of a record, where it is worth it: what was denied, and on a second line, indented, what would permit it. */
  readonly line: (record: AnyRecord) => string | undefined;
  /** Lines that were held back and are due at `now`, in milliseconds since the epoch; at infinity, all that are left. */
  readonly late: (now: number) => readonly string[];
  readonly table: () => readonly string[];
}

/** A record of something that was met, by itself; what is suppressed is only a number. */
type Met = Exclude<AnyRecord, SuppressedRecord>;
const isMet = (record: AnyRecord): record is Met => record.kind !== 'suppressed';

/** Records kept for the table. Past that, only their numbers count on. */
const kept = 20_000;

/** Lines held back at a time; more are said at once. */
const mostHeld = 100;

/** What a destination does not say of itself: another name that was asked for, or the address that was denied under a name. */
const detailOf = (record: AnyRecord): string | undefined => {
  const asked = askedFor(record);
  return asked === undefined ? deniedAddress(record) : `asked for ${asked}`;
};

const subject = (record: Met): string => {
  if (record.kind === 'dns') return sanitise(record.name);
  const request = requestText(record);
  const detail = detailOf(record);
  return [
    destinationText(record),
    ...(request === '' ? [] : [request]),
    ...(detail === undefined ? [] : [`(${detail})`]),
  ].join(' ');
};
/** The connection of a request that was denied is denied for that request, and is not said again. */
const protocolOf = (record: Met): string =>
  record.kind === 'dns' ? 'dns' : requestText(record) === '' ? record.protocol : 'http';

const question = (record: DnsRecord): string => `${record.agent.name ?? ''} ${record.name}`;
const isAnswered = (record: AnyRecord): record is DnsRecord =>
  record.kind === 'dns' && record.verdict === 'permit' && (record.synthetic.length > 0 || record.addresses.length > 0);

/** In few words, what would permit it. Empty: nothing the policy could say would. */
const remedy = (record: Met, group: string, dnsMode: DnsMode): string => {
  const found = hint(record, { group });
  if (found === undefined) return '';
  if (found.kind === 'advice') return found.note;
  const reason = decisiveReason(record);
  const conditions = requestConditions(record).map((line) => `\`${sanitise(line)}\``);
  const only = conditions.length === 0 ? '' : ` with ${conditions.join(', ').replace(/, (`[^`]*`)$/, ' and $1')}`;
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
  const cure = reason === 'quic' ? undefined : nameCure(dnsMode, record);
  if (cure?.by === 'answer') return answerAdvice(sanitise(cure.name));
  if (cure?.by === 'hostname')
    return `permit ${over} to a SmartGroup with \`hostname: ${sanitise(cure.name)}\`, in a rule without \`web\``;
  if (cure !== undefined) {
    return only === ''
      ? `add \`${sanitise(cure.name)}\` to the \`web\` of a permit rule for ${over}`
      : `write a permit rule for ${over} with \`${sanitise(cure.name)}\` in its \`web\`, ${only.slice(' with '.length)}`;
  }
  return `permit ${over} to a SmartGroup with \`cidr: ${formatAddress(address)}/${address.family === 4 ? 32 : 128}\`${only}`;
};

/** Records that one row of the table stands for have the same key as the row. */
const rowKey = (...parts: readonly string[]): string => parts.join('\n');
const rowOf = (r: Met): string =>
  rowKey(verdictText(r), r.kind === 'dns' ? 'dns' : r.protocol, destinationText(r), deciderText(r), decisiveReason(r));

/** The details of the records behind each row. Of many, the first is shown and the others are counted. */
const detailsOf = (records: readonly AnyRecord[]): ReadonlyMap<string, ReadonlySet<string>> => {
  const details = new Map<string, Set<string>>();
  for (const record of records.filter(isMet)) {
    const detail = detailOf(record);
    if (detail === undefined) continue;
    const key = rowOf(record);
    details.set(key, (details.get(key) ?? new Set()).add(detail));
  }
  return details;
};

const cureOf = (record: Met, group: string, dnsMode: DnsMode): string => {
  if (decisiveReason(record) === 'dns-upstream')
    return 'help: `sudo cofferdam doctor` shows which resolvers answer; `--resolver IP` asks another';
  const cure = remedy(record, group, dnsMode);
  return cure === '' ? '' : `to permit it: ${cure}`;
};

/**
 * `group`: the SmartGroup that a cure names. `holdFor`: for how many milliseconds a name that is denied for its addresses in one family
 * is not said, since the answer in the other family may still come and make it moot; 0 says it at once.
 */
export const createReporter = (group: string, holdFor = 0, dnsMode: DnsMode = 'synthetic'): Reporter => {
  const said = new Set<string>();
  let held: readonly Met[] = [];
  const records: AnyRecord[] = [];
  /** Names that were answered in one family or the other: that one family is denied then keeps nobody from reaching them. */
  const answered = new Set<string>();
  let dropped = 0;
  const isMoot = (record: AnyRecord): boolean =>
    record.kind === 'dns' && record.reason === 'dns-address-denied' && answered.has(question(record));

  const sentence = (record: Met): string | undefined => {
    if (isMoot(record)) return undefined;
    const reason = decisiveReason(record);
    const decider = deciderText(record);
    const key = `${protocolOf(record)} ${subject(record)} ${reason} ${decider}`;
    if (said.has(key)) return undefined;
    if (said.size < kept) said.add(key);
    const word = record.verdict === 'deny' ? 'denied' : 'would deny';
    const by = decider === '' ? '' : ` by ${decider}`;
    const cure = cureOf(record, group, dnsMode);
    return `${word} ${protocolOf(record)} ${subject(record)}${by} (${reason}: ${reasonEntry(reason).summary})${cure === '' ? '' : `\n  ${cure}`}`;
  };

  /** Once for a reason: the table says how many they became. */
  const flood = ({ reason, count }: SuppressedRecord): string | undefined => {
    if (said.has(reason)) return undefined;
    said.add(reason);
    return `${count} more were denied too fast to be written one by one (${reason}: ${reasonEntry(reason).summary})`;
  };

  return {
    line(record) {
      if (records.length < kept) records.push(record);
      else dropped += 1;
      if (isAnswered(record) && answered.size < kept) answered.add(question(record));
      if (!isMet(record)) return flood(record);
      if (verdictText(record) === 'permit') return undefined;
      const waits = holdFor > 0 && record.reason === 'dns-address-denied' && held.length < mostHeld;
      if (!waits) return sentence(record);
      held = [...held, record];
      return undefined;
    },
    late(now) {
      const isDue = (record: Met): boolean => (record.end ?? record.start) + holdFor <= now;
      const due = held.filter(isDue);
      held = held.filter((record) => !isDue(record));
      return due.flatMap((record) => sentence(record) ?? []);
    },
    table() {
      const counted = records.filter((record) => !isMoot(record));
      const { reached, denied, missing } = summarise(counted);
      const rows = [...reached, ...denied, ...missing];
      if (rows.length === 0) return ['reached nothing, and nothing was denied'];
      const details = detailsOf(counted);
      const cells = rows.map((row) => cellsOf(row, details));
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

const verdictWord = { permit: 'reached', deny: 'DENIED', 'would-deny': 'would be denied' } as const;

const outcomeOf = ({ verdict, answer }: DestinationSummary): string =>
  answer === 'no-such-name'
    ? 'no such name'
    : verdict === 'permit' && answer === 'none'
      ? 'no answer'
      : verdictWord[verdict];

const destinationOf = (row: DestinationSummary, details: ReadonlyMap<string, ReadonlySet<string>>): string => {
  const found = details.get(rowKey(row.verdict, row.protocol, row.destination, row.rule, row.reason));
  if (found === undefined) return row.destination;
  const [first = '', ...others] = found;
  return `${row.destination} (${first}${others.length === 0 ? '' : ` and ${others.length} more`})`;
};

const cellsOf = (row: DestinationSummary, details: ReadonlyMap<string, ReadonlySet<string>>): readonly string[] => [
  outcomeOf(row),
  destinationOf(row, details),
  row.kind === 'request' ? 'http' : row.protocol,
  String(row.count),
  row.kind === 'dns' || row.kind === 'suppressed' ? '' : bytesText(row.bytes),
  row.rule,
  row.verdict === 'permit' ? '' : row.reason,
];
