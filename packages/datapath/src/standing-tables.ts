import { layout, limits, u32 } from './layout.ts';
import { attachedMaps, kernelMap, valueSize } from './libbpf.ts';
import { closeDescriptor, interfaceIndex } from './libc.ts';

/** Tables that an earlier process made and programs still use, by name, as descriptors. */
export type StandingTables = ReadonlyMap<string, number>;
export const noTables: StandingTables = new Map();

/** The tables behind an interface of the calling thread's namespace. Empty where there are none, or none that this version can read. */
export const standingTables = (interfaceName: string): StandingTables => {
  const tables = attachedMaps(interfaceIndex(interfaceName));
  const control = tables.get('control');
  const word = Buffer.alloc(layout.control.size);
  const readable = (): boolean =>
    control !== undefined &&
    valueSize(control) === layout.control.size &&
    kernelMap(control).get(u32(0), word) &&
    word.readUInt32LE(layout.control.layout) === limits.layout;
  if (readable()) return tables;
  for (const fd of tables.values()) closeDescriptor(fd);
  return noTables;
};
