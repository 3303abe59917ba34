import koffi from 'koffi';
import { closeDescriptor, E2BIG, EEXIST, ENOENT, ENOSPC, SystemCallError } from './libc.ts';

/** libbpf 1.x: loading, maps, tc hooks, test runs. Every call that fails throws with its name and error. */
const libbpf = koffi.load('libbpf.so.1');

const openFile = libbpf.func('void *bpf_object__open_file(const char *path, const void *opts)');
const loadObject = libbpf.func('int bpf_object__load(void *object)');
const closeObject = libbpf.func('void bpf_object__close(void *object)');
const findMap = libbpf.func('void *bpf_object__find_map_by_name(void *object, const char *name)');
const findProgram = libbpf.func('void *bpf_object__find_program_by_name(void *object, const char *name)');
const mapFd = libbpf.func('int bpf_map__fd(void *map)');
const setMaxEntries = libbpf.func('int bpf_map__set_max_entries(void *map, uint32_t entries)');
const programFd = libbpf.func('int bpf_program__fd(void *program)');
const reuseFd = libbpf.func('int bpf_map__reuse_fd(void *map, int fd)');
const tcQuery = libbpf.func('int bpf_tc_query(const void *hook, void *opts)');
const programFdById = libbpf.func('int bpf_prog_get_fd_by_id(uint32_t id)');
const mapFdById = libbpf.func('int bpf_map_get_fd_by_id(uint32_t id)');
const infoByFd = libbpf.func('int bpf_obj_get_info_by_fd(int fd, void *info, _Inout_ uint32_t *length)');
const mapCreate = libbpf.func(
  'int bpf_map_create(int type, const char *name, uint32_t key, uint32_t value, uint32_t entries, const void *opts)',
);
const update = libbpf.func('int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)');
const lookup = libbpf.func('int bpf_map_lookup_elem(int fd, const void *key, void *value)');
const remove = libbpf.func('int bpf_map_delete_elem(int fd, const void *key)');
const lookupBatch = libbpf.func(
  'int bpf_map_lookup_batch(int fd, void *from, void *next, void *keys, void *values, _Inout_ uint32_t *count, const void *opts)',
);
const updateBatch = libbpf.func(
  'int bpf_map_update_batch(int fd, const void *keys, const void *values, _Inout_ uint32_t *count, const void *opts)',
);
const hookCreate = libbpf.func('int bpf_tc_hook_create(void *hook)');
const hookDestroy = libbpf.func('int bpf_tc_hook_destroy(void *hook)');
const attach = libbpf.func('int bpf_tc_attach(const void *hook, void *opts)');
const testRun = libbpf.func('int bpf_prog_test_run_opts(int fd, void *opts)');
const printSetting = koffi.proto('int Printer(int level, const char *format, void *arguments)');
const setPrint = libbpf.func('void *libbpf_set_print(Printer *print)');

/** libbpf prints to stderr what it also returns as errors; `doctor` and errors say it better. */
export const quietLibbpf = (): void => void setPrint(null);
void printSetting;

const failing = (call: string, result: number, detail = ''): number => {
  if (result < 0) throw new SystemCallError(call, -result, detail);
  return result;
};

export const MapType = { hash: 1, array: 2, lpmTrie: 11 } as const;
export const BPF_F_NO_PREALLOC = 1;
export const BPF_F_INNER_MAP = 0x1000;

/** A map by its descriptor. Keys and values are buffers of exactly the sizes that it was made with. */
export interface KernelMap {
  readonly fd: number;
  set(key: Uint8Array, value: Uint8Array): void;
  /** False where the map is full. */
  tryset(key: Uint8Array, value: Uint8Array): boolean;
  /** Fills `value`; false where the key is not there. */
  get(key: Uint8Array, value: Uint8Array): boolean;
  /** False where the key was not there. */
  delete(key: Uint8Array): boolean;
  /** `count` keys and values laid end to end. */
  setAll(keys: Uint8Array, values: Uint8Array, count: number): void;
}

export const kernelMap = (fd: number): KernelMap => ({
  fd,
  set: (key, value) => void failing('bpf_map_update_elem', update(fd, key, value, 0)),
  tryset(key, value) {
    const result = update(fd, key, value, 0);
    if (result === -ENOSPC || result === -E2BIG) return false;
    failing('bpf_map_update_elem', result);
    return true;
  },
  get(key, value) {
    const result = lookup(fd, key, value);
    if (result === -ENOENT) return false;
    failing('bpf_map_lookup_elem', result);
    return true;
  },
  delete(key) {
    const result = remove(fd, key);
    if (result === -ENOENT) return false;
    failing('bpf_map_delete_elem', result);
    return true;
  },
  setAll(keys, values, count) {
    if (count === 0) return;
    const done = [count];
    failing('bpf_map_update_batch', updateBatch(fd, keys, values, done, null));
  },
});

/** Keys and values of `count` entries, laid end to end. */
export interface Batch {
  readonly keys: Buffer;
  readonly values: Buffer;
  readonly count: number;
}

/** All entries of a hash, in batches; entries that are added or deleted meanwhile may be missed, none is seen twice in a batch. */
export function* batches(fd: number, keySize: number, valueSize: number, size = 2048): Generator<Batch> {
  let from: Buffer | null = null;
  for (;;) {
    // New ones each time: what was given out stays as it is.
    const keys = Buffer.alloc(keySize * size);
    const values = Buffer.alloc(valueSize * size);
    const next = Buffer.alloc(Math.max(keySize, 8));
    const count = [size];
    const result = lookupBatch(fd, from, next, keys, values, count, null);
    if (result < 0 && result !== -ENOENT) failing('bpf_map_lookup_batch', result);
    yield { keys, values, count: count[0]! };
    if (result === -ENOENT) return;
    from = next;
  }
}

/** The same, one by one. */
export function* entries(
  fd: number,
  keySize: number,
  valueSize: number,
): Generator<{ readonly key: Buffer; readonly value: Buffer }> {
  for (const { keys, values, count } of batches(fd, keySize, valueSize))
    for (let i = 0; i < count; i++)
      yield {
        key: Buffer.from(keys.subarray(i * keySize, (i + 1) * keySize)),
        value: Buffer.from(values.subarray(i * valueSize, (i + 1) * valueSize)),
      };
}

export interface MapShape {
  readonly type: number;
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly entries: number;
  readonly flags: number;
}

/** struct bpf_map_create_opts of libbpf 1.1: size_t sz; __u32 btf_fd, key type, value type, vmlinux value type, inner_map_fd, map_flags; … */
export const createMap = (shape: MapShape): KernelMap => {
  const opts = Buffer.alloc(56);
  opts.writeBigUInt64LE(56n, 0);
  opts.writeUInt32LE(shape.flags, 28);
  const fd = mapCreate(shape.type, shape.name, shape.keySize, shape.valueSize, shape.entries, opts);
  return kernelMap(failing('bpf_map_create', fd, shape.name));
};

export interface BpfObject {
  map(name: string): KernelMap;
  programFd(name: string): number;
  close(): void;
}

/** Loads an object file; `sizes` gives maps other sizes than they were compiled with, `standing` the place of others that exist already. */
export const loadBpfObject = (
  path: string,
  sizes: Readonly<Record<string, number>> = {},
  standing: ReadonlyMap<string, number> = new Map(),
): BpfObject => {
  const object = openFile(path, null);
  if (object === null) throw new SystemCallError('bpf_object__open_file', koffi.errno(), path);
  for (const [name, entries] of Object.entries(sizes)) {
    const map = findMap(object, name);
    if (map === null) throw new Error(`no map \`${name}\` in ${path}`);
    failing('bpf_map__set_max_entries', setMaxEntries(map, entries), name);
  }
  for (const [name, fd] of standing) {
    const map = findMap(object, name);
    if (map !== null) failing('bpf_map__reuse_fd', reuseFd(map, fd), name);
  }
  const result = loadObject(object);
  if (result < 0) {
    closeObject(object);
    failing('bpf_object__load', result, path);
  }
  return {
    map(name) {
      const map = findMap(object, name);
      if (map === null) throw new Error(`no map \`${name}\` in ${path}`);
      return kernelMap(mapFd(map));
    },
    programFd(name) {
      const program = findProgram(object, name);
      if (program === null) throw new Error(`no program \`${name}\` in ${path}`);
      return programFd(program);
    },
    close: () => closeObject(object),
  };
};

const attachPoint = { ingress: 1, egress: 2 } as const;

type Direction = keyof typeof attachPoint;

/** struct bpf_tc_hook: size_t sz; int ifindex; enum attach_point; __u32 parent. */
const tcHook = (ifindex: number, points: number): Buffer => {
  const hook = Buffer.alloc(24);
  hook.writeBigUInt64LE(24n, 0);
  hook.writeInt32LE(ifindex, 8);
  hook.writeInt32LE(points, 12);
  return hook;
};

/** struct bpf_tc_opts: size_t sz; int prog_fd; __u32 flags, prog_id, handle, priority. Ours is the first filter of each hook. */
const tcOptions = (): Buffer => {
  const opts = Buffer.alloc(32);
  opts.writeBigUInt64LE(32n, 0);
  opts.writeUInt32LE(1, 20);
  opts.writeUInt32LE(1, 24);
  return opts;
};
const BPF_TC_F_REPLACE = 1;

/** Attaches a program to an interface of the calling thread's namespace, in the place of the one that was there. */
export const attachTc = (ifindex: number, direction: Direction, program: number): void => {
  const hook = tcHook(ifindex, attachPoint.ingress | attachPoint.egress);
  const made = hookCreate(hook);
  if (made < 0 && made !== -EEXIST) failing('bpf_tc_hook_create', made);
  hook.writeInt32LE(attachPoint[direction], 12);
  const opts = tcOptions();
  opts.writeInt32LE(program, 8);
  opts.writeUInt32LE(BPF_TC_F_REPLACE, 12);
  failing('bpf_tc_attach', attach(hook, opts), direction);
};

/** Whether a program is where {@link attachTc} puts it. */
export const isTcAttached = (ifindex: number, direction: Direction): boolean =>
  tcQuery(tcHook(ifindex, attachPoint[direction]), tcOptions()) === 0;

/** Calls `read` with what the kernel says of an object: the layouts are those of <linux/bpf.h>, which only grow at the end. */
const infoOf = (fd: number, size: number, prepared = Buffer.alloc(size)): Buffer => {
  failing('bpf_obj_get_info_by_fd', infoByFd(fd, prepared, [size]));
  return prepared;
};

const mapsOfProgram = (fd: number): readonly number[] => {
  // struct bpf_prog_info: nr_map_ids at 52, map_ids at 56
  const count = infoOf(fd, 80).readUInt32LE(52);
  const ids = Buffer.alloc(4 * count);
  const asked = Buffer.alloc(80);
  asked.writeUInt32LE(count, 52);
  asked.writeBigUInt64LE(koffi.address(ids), 56);
  held.buffers = [ids];
  infoOf(fd, 80, asked);
  return Array.from({ length: count }, (_, i) => ids.readUInt32LE(4 * i));
};

/** struct bpf_map_info: type 0, id 4, key_size 8, value_size 12, max_entries 16, map_flags 20, name 24. */
const mapName = (fd: number): string => infoOf(fd, 80).toString('latin1', 24, 40).replace(/\0.*$/, '');
export const valueSize = (fd: number): number => infoOf(fd, 80).readUInt32LE(12);
export const mostEntries = (fd: number): number => infoOf(fd, 80).readUInt32LE(16);

/**
 * The maps of the programs that are attached to an interface of the calling thread's namespace, by name, as descriptors of this process.
 * Empty where nothing is attached.
 */
export const attachedMaps = (ifindex: number): ReadonlyMap<string, number> => {
  const maps = new Map<string, number>();
  for (const point of Object.values(attachPoint)) {
    const opts = tcOptions();
    if (tcQuery(tcHook(ifindex, point), opts) < 0) continue;
    const program = failing('bpf_prog_get_fd_by_id', programFdById(opts.readUInt32LE(16)));
    for (const id of mapsOfProgram(program)) {
      const fd = failing('bpf_map_get_fd_by_id', mapFdById(id));
      const name = mapName(fd);
      // Constants belong to their program.
      if (maps.has(name) || name.includes('.')) closeDescriptor(fd);
      else maps.set(name, fd);
    }
    closeDescriptor(program);
  }
  return maps;
};

/** Removes both hooks of an interface with whatever is attached to them. */
export const detachTc = (ifindex: number): void => {
  const hook = tcHook(ifindex, attachPoint.ingress | attachPoint.egress);
  failing('bpf_tc_hook_destroy', hookDestroy(hook));
};

export interface TestRun {
  /** What the program returned: TC_ACT_OK 0, TC_ACT_SHOT 2. */
  readonly result: number;
  readonly mark: number;
  readonly packet: Buffer;
  /** Nanoseconds of one run, mean over `repeat`. */
  readonly nanoseconds: number;
}

/** Offsets in struct __sk_buff (include/uapi/linux/bpf.h). */
const skbSize = 192;
const skbMark = 8;
const skbIngressIfindex = 36;
const skbIfindex = 40;

/**
 * Buffers whose addresses are in a structure that a call reads. The collector does not see those addresses, so they are held here until the
 * next call.
 */
const held: { buffers: readonly Uint8Array[] } = { buffers: [] };

/** A BPF_PROG_TEST_RUN that can be made again and again, with what `packet` holds then. Returns what the program returned. */
export const preparedRun = (program: number, packet: Uint8Array): (() => number) => {
  const opts = Buffer.alloc(80);
  opts.writeBigUInt64LE(80n, 0);
  opts.writeBigUInt64LE(koffi.address(packet), 8);
  opts.writeInt32LE(1, 60);
  return () => {
    // Said each time, so that the collector sees that the packet is still needed.
    opts.writeUInt32LE(packet.length, 24);
    failing('bpf_prog_test_run_opts', testRun(program, opts));
    return opts.readUInt32LE(56);
  };
};

/** BPF_PROG_TEST_RUN of a tc program. `ifindex` must exist in the calling thread's namespace. */
export const runProgram = (
  program: number,
  packet: Uint8Array,
  context: { readonly ifindex: number; readonly ingressIfindex?: number; readonly mark?: number },
  repeat = 1,
): TestRun => {
  const out = Buffer.alloc(packet.length + 256);
  const contextIn = Buffer.alloc(skbSize);
  contextIn.writeUInt32LE(context.mark ?? 0, skbMark);
  contextIn.writeUInt32LE(context.ifindex, skbIfindex);
  contextIn.writeUInt32LE(context.ingressIfindex ?? 0, skbIngressIfindex);
  const contextOut = Buffer.alloc(skbSize);
  held.buffers = [packet, out, contextIn, contextOut];
  // struct bpf_test_run_opts: size_t sz; data_in, data_out; __u32 sizes; ctx_in, ctx_out; __u32 sizes; retval; repeat; duration; flags; cpu; batch
  const opts = Buffer.alloc(80);
  opts.writeBigUInt64LE(80n, 0);
  opts.writeBigUInt64LE(koffi.address(packet), 8);
  opts.writeBigUInt64LE(koffi.address(out), 16);
  opts.writeUInt32LE(packet.length, 24);
  opts.writeUInt32LE(out.length, 28);
  opts.writeBigUInt64LE(koffi.address(contextIn), 32);
  opts.writeBigUInt64LE(koffi.address(contextOut), 40);
  opts.writeUInt32LE(skbSize, 48);
  opts.writeUInt32LE(skbSize, 52);
  opts.writeInt32LE(repeat, 60);
  failing('bpf_prog_test_run_opts', testRun(program, opts));
  return {
    result: opts.readUInt32LE(56),
    mark: contextOut.readUInt32LE(skbMark),
    packet: out.subarray(0, opts.readUInt32LE(28)),
    nanoseconds: opts.readUInt32LE(64),
  };
};
