import { writeFileSync } from 'node:fs';
import type { Files } from './files.ts';
import { type DnsAnswered, dnsLoad } from './load.ts';
import { settled } from './machine.ts';
import { agents } from './place.ts';
import { alone, type RoundOptions } from './rounds.ts';
import { namesOf } from './rule-set.ts';
import type { Variant } from './variant.ts';

/** Questions to the resolver of a gateway: of names that it knows, and of names that it has to ask about. */

export const dnsMetrics = ['queries', 'known', 'knownP99', 'first', 'failed'] as const;
export type DnsMetric = (typeof dnsMetrics)[number];
export type DnsRounds = ReadonlyMap<string, ReadonlyMap<DnsMetric, readonly number[]>>;

export const measureDns = async (
  kinds: readonly { readonly variant: Variant; readonly rules: number }[],
  { directory }: Files,
  { rounds, seconds, patient, firstNames, say }: RoundOptions & { readonly firstNames: number },
): Promise<DnsRounds> => {
  const all = new Map(
    kinds.map(({ variant }) => [variant.name, new Map(dnsMetrics.map((key) => [key, [] as number[]]))]),
  );
  const file = `${directory}/dns-names`;
  const use = (names: readonly string[]): void => writeFileSync(file, `${names.join('\n')}\n`);
  // Those that even the smallest policy permits.
  const known = namesOf(10);
  for (let round = patient ? 0 : 1; round <= rounds; round++) {
    say(round === 0 ? 'warming up the resolvers' : `DNS round ${round} of ${rounds}`);
    for (const { variant, rules } of kinds) {
      if (patient && variant.pid !== undefined) await alone(variant, () => settled(variant.pid!));
      const keep = (metric: DnsMetric, value: number): void => {
        if (round > 0) all.get(variant.name)!.get(metric)!.push(value);
      };
      const server = variant.resolver;
      if (server === undefined) throw new Error(`${variant.name} has no resolver`);
      const ask = async (names: readonly string[], window: number, time: number): Promise<DnsAnswered> => {
        use(names);
        const load = { server, sources: agents.length, names: file, seconds: time, window };
        const answered = await alone(variant, () => dnsLoad(variant.world.client, load));
        if (answered.answered === null)
          throw new Error(`${variant.name}: none of ${answered.failed} DNS queries was answered`);
        keep('failed', answered.failed);
        return answered;
      };
      const many = await ask(known, 64, seconds);
      keep('queries', many.done / many.seconds);
      const { answered } = await ask(known, 1, seconds / 2);
      keep('known', answered!.median / 1000);
      keep('knownP99', answered!.p99 / 1000);
      // Nobody has asked for them before.
      const from = known.length + round * firstNames;
      if (rules > 0 && from + firstNames >= rules) continue;
      const fresh = Array.from({ length: firstNames }, (_, i) => `service-${from + i}.bench.example`);
      keep('first', (await ask(fresh, 1, 0)).answered!.median / 1000);
    }
  }
  return all;
};
