import { decodeFlowKey, type FlowKey, flowState, layout, u32 } from './layout.ts';
import { entries, type KernelMap } from './libbpf.ts';
import { bootTime } from './libc.ts';

/** A TCP flow, with what its agent acknowledged last: where the server stands, to the agent. */
export interface CutFlow {
  readonly key: FlowKey;
  readonly clientAck: number;
}

/** What live flows are judged by now: another number with each plan, and with each hour that begins or ends. */
export const currentGeneration = (switches: number, header: KernelMap): bigint => {
  const o = layout.plan_header;
  const bytes = Buffer.alloc(o.size);
  header.get(u32(0), bytes);
  const now = bootTime();
  let epoch = bytes.readUInt32LE(o.epochs) - 1;
  while (epoch > 0 && bytes.readBigUInt64LE(o.epoch_from + 8 * epoch) > now) epoch--;
  return (BigInt(switches) << 16n) | BigInt(Math.max(epoch, 0));
};

const judged: ReadonlySet<number> = new Set([flowState.pending, flowState.binding, flowState.permitted]);

/** Judges what was judged by something else. `judge`: whether a flow ends by that. Those of TCP that do. */
export const judgeStale = (
  flows: KernelMap,
  generation: bigint,
  judge: (key: FlowKey) => boolean,
): readonly CutFlow[] => {
  const o = layout.flow;
  const cut: CutFlow[] = [];
  for (const { key, value } of entries(flows.fd, layout.flow_key.size, o.size)) {
    if (value.readBigUInt64LE(o.generation) === generation || !judged.has(value[o.state]!)) continue;
    const decoded = decodeFlowKey(key);
    if (judge(decoded) && decoded.protocol === 'tcp')
      cut.push({ key: decoded, clientAck: value.readUInt32LE(o.client_ack) });
  }
  return cut;
};
