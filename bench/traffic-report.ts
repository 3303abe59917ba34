import { figure, judged, type Row, table, told } from './report.ts';
import type { Rounds, TrafficMetric } from './rounds.ts';
import { difference, median, ratio, spread } from './statistics.ts';

/** What the rounds say of traffic: a matrix of all variants, and rows for each. */

const columns: readonly (readonly [TrafficMetric, head: string, name: string, unit: string])[] = [
  ['connections', 'conn/s', 'new connections', '1/s'],
  ['processor', 'CPU µs/conn', 'processor time of a connection, its two ends included', 'µs'],
  ['process', 'of ours', 'processor time that our process takes for a connection, in the end', 'µs'],
  ['connect', 'connect µs', 'time to connect, median', 'µs'],
  ['connectP99', 'p99', 'time to connect, 99th percentile', 'µs'],
  ['answer', 'answer µs', 'time to the first byte of the answer, median', 'µs'],
  ['answerP99', 'p99', 'time to the first byte of the answer, 99th percentile', 'µs'],
  ['handshakes', 'TLS/s', 'TLS handshakes', '1/s'],
  ['bulk', 'bulk Gb/s', 'bulk throughput', 'Gb/s'],
  ['bulkOfMany', '4 streams', 'bulk throughput, four streams', 'Gb/s'],
  ['wire', '1,500 B', 'bulk throughput, four streams in packets of 1,500 bytes', 'Gb/s'],
];

export const base = 'forwarding';

const of = (rounds: Rounds, variant: string, metric: TrafficMetric): readonly number[] => {
  const values = rounds.get(variant)?.get(metric);
  if (values === undefined || values.length === 0) throw new Error(`${variant} has no ${metric}`);
  return values;
};

export const trafficTable = (rounds: Rounds): string =>
  table(
    ['', ...columns.map(([, head]) => head)],
    [...rounds.keys()].map((variant) => [
      variant,
      ...columns.map(([metric]) => {
        const values = of(rounds, variant, metric);
        return median(values) === 0 ? '' : `${figure(median(values))} ±${Math.round(spread(values) * 100)}%`;
      }),
    ]),
  );

const isOurs = (variant: string): boolean => variant.startsWith('cofferdam');

export const trafficRows = (rounds: Rounds): readonly Row[] => {
  const variants = [...rounds.keys()];
  const withBase = (metric: TrafficMetric): string => `${base}: ${figure(median(of(rounds, base, metric)))}`;
  const budgets = variants.filter(isOurs).flatMap((variant): readonly Row[] => {
    const share = (metric: TrafficMetric, name: string, atLeast: number): Row => {
      const { value, low, high } = ratio(of(rounds, variant, metric), of(rounds, base, metric));
      const row = { metric: `${variant}: ${name}`, unit: 'of forwarding', value, interval: [low, high] } as const;
      return judged({ ...row, comparedWith: withBase(metric) }, { atLeast });
    };
    const added = (metric: TrafficMetric, name: string): Row => {
      const { value, low, high } = difference(of(rounds, variant, metric), of(rounds, base, metric));
      const row = { metric: `${variant}: ${name}`, unit: 'µs', value, interval: [low, high] } as const;
      return judged({ ...row, comparedWith: withBase(metric) }, { atMost: 3 });
    };
    return [
      share('connections', 'new connections per second', 0.95),
      judged(
        {
          metric: `${variant}: connections that failed, all rounds`,
          unit: '',
          value: of(rounds, variant, 'failed').reduce((sum, one) => sum + one, 0),
        },
        { atMost: 0 },
      ),
      share('bulk', 'bulk throughput', 0.97),
      share('bulkOfMany', 'bulk throughput, four streams', 0.97),
      share('wire', 'bulk throughput, four streams in packets of 1,500 bytes', 0.97),
      added('connect', 'added to the time to connect'),
      added('answer', 'added to the time to the first byte of the answer'),
    ];
  });
  const all = variants.flatMap((variant) =>
    columns
      .filter(([metric]) => metric !== 'process' || isOurs(variant))
      .map(([metric, , name, unit]) =>
        told(
          `${variant}: ${name}`,
          unit,
          median(of(rounds, variant, metric)),
          variant === base || metric === 'process' ? undefined : withBase(metric),
        ),
      ),
  );
  return [...budgets, ...all];
};
