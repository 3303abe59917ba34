import { readFileSync } from 'node:fs';
import type { Kernel } from '@cofferdam/datapath';

/** A table of the gateway: how much is in it, and how much can be. What does not fit is denied; nothing is evicted for it. */
export interface TableFill {
  readonly table: 'flows' | 'agents' | 'hellos' | 'names' | 'tracked';
  readonly entries: number;
  readonly capacity: number;
}

/** Of `name_rows` in ../../datapath/bpf/maps.h: each plan has a table of its own. */
export const nameRows = 65_536;

/** The capacity of a kernel table, as the kernel says it of its descriptor. */
export const capacityOf = (kernel: Pick<Kernel, 'object'>, name: string): number => {
  const text = readFileSync(`/proc/self/fdinfo/${kernel.object.map(name).fd}`, 'ascii');
  return Number(/^max_entries:\s*(\d+)$/m.exec(text)?.[1] ?? 0);
};
