import type { CompileTimes } from './compile.ts';
import type { DnsMetric, DnsRounds } from './dns-rounds.ts';
import type { GatewayMemory } from './gateway-messages.ts';
import type { Change, changeUnderLoad, ProgramTimes } from './ours.ts';
import { figure, judged, type Row, told } from './report.ts';
import { difference, median } from './statistics.ts';
import { base } from './traffic-report.ts';

/** Rows of what only ours has. */

export const programRows = (programs: ReadonlyMap<string, readonly ProgramTimes[]>): readonly Row[] =>
  [...programs].flatMap(([variant, times]) => {
    const of = (key: keyof ProgramTimes): readonly number[] => times.map((one) => one[key]);
    const until = of('untilVerdict').map((time) => time / 1000);
    return [
      judged(
        {
          metric: `${variant}: program time of a new connection until its verdict`,
          unit: 'µs',
          value: median(until),
          interval: [Math.min(...until), Math.max(...until)],
        },
        { atMost: 3 },
      ),
      told(`${variant}: of that, until it is connected`, 'µs', median(of('handshake')) / 1000),
      told(`${variant}: program time of a packet from an agent`, 'ns', median(of('fromAgent'))),
      told(`${variant}: program time of a packet to an agent`, 'ns', median(of('toAgent'))),
    ];
  });

const dnsColumns: readonly (readonly [DnsMetric, name: string, unit: string])[] = [
  ['queries', 'DNS queries of known names', '1/s'],
  ['known', 'time to answer a known name, median', 'µs'],
  ['knownP99', 'time to answer a known name, 99th percentile', 'µs'],
  ['first', 'time to answer a name for the first time, median', 'µs'],
];

export const dnsRows = (dns: DnsRounds): readonly Row[] => {
  const theirs = dns.get(base);
  const failed = [...dns].map(([variant, metrics]) =>
    judged(
      {
        metric: `${variant === base ? 'dnsmasq' : variant}: DNS queries that failed, all rounds`,
        unit: '',
        value: (metrics.get('failed') ?? []).reduce((sum, one) => sum + one, 0),
      },
      { atMost: 0 },
    ),
  );
  const rows = [...dns].flatMap(([variant, metrics]) =>
    dnsColumns.flatMap(([metric, name, unit]): readonly Row[] => {
      const [ours, cache] = [metrics.get(metric) ?? [], theirs?.get(metric) ?? []];
      if (ours.length === 0) return [];
      const shown = variant === base ? 'dnsmasq' : variant;
      const row = told(
        `${shown}: ${name}`,
        unit,
        median(ours),
        variant === base ? undefined : `dnsmasq: ${figure(median(cache))}`,
      );
      if (variant === base || unit !== 'µs' || metric === 'knownP99') return [row];
      const { value, low, high } = difference(ours, cache);
      return [
        row,
        { ...told(`${shown}: added to that`, unit, value, `dnsmasq: ${figure(median(cache))}`), interval: [low, high] },
      ];
    }),
  );
  return [...failed, ...rows];
};

export interface Changes {
  readonly compiling: readonly CompileTimes[];
  readonly change: Awaited<ReturnType<typeof changeUnderLoad>>;
  readonly large: Change;
  /** Milliseconds. */
  readonly nftLoad: number;
  readonly rules: number;
}

export const changeRows = ({ compiling, change, large, nftLoad, rules }: Changes): readonly Row[] => {
  const of = (key: keyof CompileTimes): number => median(compiling.map((one) => one[key]));
  const big = '20,000 rules over 10,000 groups';
  const own = `${rules.toLocaleString('en')} rules that are measured`;
  const nft = `nft -f, list of 20,000: ${figure(nftLoad)}`;
  const lost = change.failed;
  return [
    judged({ metric: `compile ${big}`, unit: 'ms', value: of('compile') }, { atMost: 1000 }),
    told(`load the plan of ${big}`, 'ms', of('load')),
    judged({ metric: `decide in TypeScript, ${big}`, unit: 'ns', value: of('decide') }, { atMost: 1000 }),
    told(`size of the plan of ${big}`, 'MB', of('bytes') / 1e6),
    ...(
      [
        [big, large],
        [own, change.change],
      ] as const
    ).flatMap(([what, { renewed, switched }]) => [
      told(`build the tables and switch, ${what}`, 'ms', median(renewed), nft),
      judged({ metric: `of that, the switch itself, ${what}`, unit: 'ms', value: median(switched) }, { atMost: 50 }),
    ]),
    judged(
      {
        metric: `connections that failed during ${change.change.renewed.length} switches`,
        unit: `of ${change.done}`,
        value: lost,
      },
      { atMost: 0 },
    ),
    told('slowest connection during them', 'ms', change.slowest),
  ];
};

const mebibyte = 2 ** 20;

export const memoryRows = (
  memory: readonly { readonly rules: number; readonly memory: GatewayMemory }[],
  flows: { readonly before: GatewayMemory; readonly during: GatewayMemory; readonly flows: number },
): readonly Row[] => {
  const [first, last] = [memory[0]!, memory.at(-1)!];
  const perRules = (key: 'maps' | 'resident' | 'heap'): number =>
    (last.memory[key] - first.memory[key]) / (last.rules - first.rules) / 1.024;
  const perFlows = (key: 'maps' | 'heap'): number => (flows.during[key] - flows.before[key]) / flows.flows / 1.024;
  return [
    ...memory.flatMap(({ rules, memory: { maps, resident } }) => [
      told(`tables in the kernel, ${rules.toLocaleString('en')} rules`, 'MiB', maps / mebibyte),
      told(`resident memory of the process, ${rules.toLocaleString('en')} rules`, 'MiB', resident / mebibyte),
    ]),
    told('tables in the kernel for 1,000 rules more', 'KiB', perRules('maps')),
    told('resident memory of the process for 1,000 rules more', 'KiB', perRules('resident')),
    told('heap of the process for 1,000 rules more', 'KiB', perRules('heap')),
    told('tables in the kernel for 1,000 live flows more', 'KiB', perFlows('maps')),
    told(
      'flow table, from the start, for each 1,000 flows it has room for',
      'KiB',
      flows.before.flowTable / flows.before.flowRoom / 1.024,
    ),
    told('heap of the process for 1,000 live flows more', 'KiB', perFlows('heap')),
  ];
};
