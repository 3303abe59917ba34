import {
  decodeFlow,
  decodeFlowKey,
  type FlowKey,
  flowId,
  type KernelFlow,
  layout,
  protocolNames,
  viewOf,
} from './layout.ts';

/** A flow as it was when a walk over all met it. All but its id is read when it is asked for: most are left alone by most walks. */
export interface FlowEntry {
  readonly id: string;
  readonly key: FlowKey;
  readonly flow: KernelFlow;
  /** Of the two, what tells whether anything is to be done. */
  readonly protocol: FlowKey['protocol'];
  readonly start: bigint;
  readonly last: bigint;
  readonly firstByte: bigint;
  readonly state: number;
  readonly flags: number;
}

/** `count` of them, keys and values laid end to end. */
export function* flowEntries(keys: Buffer, values: Buffer, count: number): Generator<FlowEntry> {
  const view = viewOf(values);
  for (let i = 0; i < count; i++) yield new Entry(keys, values, view, i);
}

class Entry implements FlowEntry {
  readonly #keys: Buffer;
  readonly #values: Buffer;
  readonly #view: DataView;
  readonly #keyAt: number;
  readonly #at: number;
  constructor(keys: Buffer, values: Buffer, view: DataView, i: number) {
    this.#keys = keys;
    this.#values = values;
    this.#view = view;
    this.#keyAt = i * layout.flow_key.size;
    this.#at = i * layout.flow.size;
  }
  get id() {
    return flowId(this.#keys, this.#keyAt);
  }
  get key() {
    return decodeFlowKey(this.#keys.subarray(this.#keyAt, this.#keyAt + layout.flow_key.size));
  }
  get flow() {
    const family = this.#keys[this.#keyAt + layout.flow_key.family] === 6 ? 6 : 4;
    return decodeFlow(this.#values.subarray(this.#at, this.#at + layout.flow.size), family);
  }
  get protocol() {
    const number = this.#keys[this.#keyAt + layout.flow_key.protocol]!;
    return protocolNames.get(number) ?? number;
  }
  get start() {
    return this.#view.getBigUint64(this.#at + layout.flow.start, true);
  }
  get last() {
    return this.#view.getBigUint64(this.#at + layout.flow.last, true);
  }
  get firstByte() {
    return this.#view.getBigUint64(this.#at + layout.flow.first_byte, true);
  }
  get state() {
    return this.#values[this.#at + layout.flow.state]!;
  }
  get flags() {
    return this.#view.getUint32(this.#at + layout.flow.flags, true);
  }
}
