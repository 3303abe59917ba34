import { addressBits, type Prefix, parsePrefix } from '@cofferdam/net';
import { type Bitmap, lowestBit } from './bitmap.ts';
import type { LoadedPlan } from './load.ts';

/** Prefixes that a rule's `to` holds, and those inside them that it does not: `- 10.1.0.0/16` within `+ 10.0.0.0/8`. */
export interface RulePrefixes {
  readonly held: readonly string[];
  /** Inside one of `held`; a prefix of `held` may lie inside one of these in turn. */
  readonly except: readonly string[];
}

/**
 * For every rule, where its bit goes on or off along the tree of prefixes; `rowOf` gives the bits of a class. Prefixes at which only other
 * rules change are not among them, so that what is said of a rule does not depend on the others.
 */
export const rulePrefixes = (loaded: LoadedPlan, rowOf: (destinationClass: number) => Bitmap): RulePrefixes[] => {
  const found = loaded.plan.rules.map(() => ({ held: [] as string[], except: [] as string[] }));
  const open: { readonly prefix: Prefix; readonly bits: Bitmap }[] = [];
  for (const { prefix: text, class: value } of loaded.plan.destinations) {
    const parsed = parsePrefix(text);
    if (!parsed.ok) continue;
    const prefix = parsed.value;
    while (open.length > 0 && !endsAfter(open.at(-1)!.prefix, prefix)) open.pop();
    const around = open.at(-1)?.bits ?? loaded.none;
    const bits = rowOf(value);
    for (let w = 0; w < loaded.words; w++) {
      for (let changed = bits[w]! ^ around[w]!; changed !== 0; changed &= changed - 1) {
        const place = lowestBit(changed);
        const lists = found[32 * w + place]!;
        (((bits[w]! >>> place) & 1) === 1 ? lists.held : lists.except).push(text);
      }
    }
    open.push({ prefix, bits });
  }
  return found;
};

const endsAfter = (outer: Prefix, inner: Prefix): boolean => {
  if (outer.address.family !== inner.address.family) return false;
  const end = outer.address.value + (1n << BigInt(addressBits(outer.address.family) - outer.length));
  return inner.address.value < end;
};
