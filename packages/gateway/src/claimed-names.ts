import { firstClaimedId } from '@cofferdam/datapath';
import type { DomainName } from '@cofferdam/net';

/** The kernel's part of it. */
export interface ClaimedNameTable {
  /** Makes a name and what the rules say of it known under an id. False: there is no room. */
  readonly classify: (id: number, name: DomainName) => boolean;
  /** Who claims the name from now on misses it; flows that claimed it keep what the rules say of it. */
  readonly unclaim: (id: number, name: DomainName) => void;
  /** Forgets what the rules say of it. No live flow may hold the id. */
  readonly unclassify: (id: number) => void;
  /** Ids that live flows hold as the name they claimed. */
  readonly held: () => ReadonlySet<number>;
}

export interface ClaimedNames {
  /** A client claimed a name that the kernel does not know. */
  readonly claim: (name: DomainName) => void;
  /** Makes room where little is left. To be called now and then, at the earliest when all packets of the last call are through. */
  readonly tidy: () => void;
  /** All whose rows a plan must have, those on their way out too. */
  readonly entries: () => IterableIterator<readonly [number, DomainName]>;
}

const lastClaimedId = 0xffffffff;

/**
 * Names that clients claimed and that stand for no address: as many as `most`, and whoever sends another name in each hello finds room
 * for it, since names whose flows are gone are forgotten again.
 *
 * A live flow must never be judged differently because its name was forgotten, and it is judged anew with each plan and epoch: by the id
 * that it holds, where a missing one counts as a name that no rule knows. So a name goes in two steps. First the kernel finds it no more, and
 * no flow can come to hold its id; one that has read it at that moment is seen by the next call, which is what the second step waits for.
 * Then, where no flow holds the id, its rows go; where one does, the name comes back. Ids are never used again: a flow would be judged
 * by another name's rows. A new flow that claims a forgotten name misses it, as if it were claimed for the first time, and its client sends
 * again once it is classified.
 */
export const createClaimedNames = (
  table: ClaimedNameTable,
  most: number,
  restored: Iterable<readonly [number, DomainName]> = [],
): ClaimedNames => {
  /** Both by the time of their last claim, as far as it is known: the oldest first. */
  const known = new Map<DomainName, number>();
  const leaving = new Map<DomainName, number>();
  let next = firstClaimedId;
  for (const [id, name] of restored) {
    known.set(name, id);
    next = Math.max(next, id + 1);
  }

  const keep = (name: DomainName, id: number): void => {
    leaving.delete(name);
    known.delete(name);
    known.set(name, id);
  };

  const finishLeaving = (held: ReadonlySet<number>): void => {
    for (const [name, id] of leaving) {
      if (held.has(id)) {
        keep(name, id);
        table.classify(id, name);
      } else {
        leaving.delete(name);
        table.unclassify(id);
      }
    }
  };

  return {
    claim(name) {
      const before = known.get(name) ?? leaving.get(name);
      if (before === undefined && (known.size + leaving.size >= most || next > lastClaimedId)) return;
      const id = before ?? next++;
      if (table.classify(id, name)) keep(name, id);
    },
    tidy() {
      const isFull = known.size + leaving.size > (most * 3) / 4;
      if (!isFull && leaving.size === 0) return;
      const held = table.held();
      finishLeaving(held);
      if (known.size <= (most * 3) / 4) return;
      for (const [name, id] of [...known]) {
        if (known.size <= most / 2) break;
        if (held.has(id)) {
          keep(name, id);
          continue;
        }
        known.delete(name);
        leaving.set(name, id);
        table.unclaim(id, name);
      }
    },
    *entries() {
      for (const names of [known, leaving]) for (const [name, id] of names) yield [id, name];
    },
  };
};
