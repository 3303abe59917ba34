/** The clients of the randomised lab: the programs in its subnets that ask, and send what they are told. */
import { bytesOf, framesOf, hex } from './random-lab-bytes.ts';
import { describeFlow, type FlowSpec } from './random-lab-flows.ts';
import type { Answer } from './random-lab-names.ts';
import type { SentFlow } from './random-lab-packets.ts';
import { familyOf, type RandomWorld } from './random-lab-world.ts';

/** What a client saw of a question or a flow. */
export interface Result {
  readonly id: number;
  /** Addresses that a question was answered with. */
  readonly told: readonly string[];
  /** Bytes that came back. */
  readonly got: number;
  readonly why: string;
}

export interface Clients {
  /** Asks for the addresses of a flow's name. */
  readonly ask: (spec: FlowSpec, expected: Answer) => Promise<Result>;
  /** `patience`: seconds that it waits for what has to come. */
  readonly send: (flow: SentFlow, patience: number) => Promise<Result>;
}

/** Milliseconds, over all that a client waits for. */
const longest = 30_000;

export const clientsOf = (world: RandomWorld): Clients => {
  const waiting = new Map<number, (result: Result) => void>();
  let ids = 0;
  for (const { agent } of world.subnets) {
    let rest = '';
    agent.child.stdout!.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const result = JSON.parse(line) as Result;
        waiting.get(result.id)?.(result);
        waiting.delete(result.id);
      }
    });
  }

  const tell = (spec: FlowSpec, words: Readonly<Record<string, unknown>>): Promise<Result> => {
    const id = ++ids;
    const result = new Promise<Result>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no word of ${describeFlow(spec)}`)), longest);
      waiting.set(id, (one) => {
        clearTimeout(timer);
        resolve(one);
      });
    });
    const common = { id, family: familyOf(spec.source), source: spec.source };
    world.subnets[spec.subnet]!.agent.child.stdin!.write(`${JSON.stringify({ ...common, ...words })}\n`);
    return result;
  };

  return {
    ask(spec, { addresses }) {
      const near = world.subnets[spec.subnet]!.gateway.find((one) => familyOf(one) === familyOf(spec.source));
      return tell(spec, { do: 'ask', name: spec.name, server: spec.server ?? near, patient: addresses.length > 0 });
    },
    send: ({ spec, expected, token, sourcePort, written }, patience) =>
      tell(spec, {
        do: 'flow',
        sourcePort,
        protocol: spec.protocol,
        port: spec.port,
        wait: expected.must ? patience : 0.25,
        linger: expected.answered ? patience : 0.15,
        listens: spec.words.kind === 'opaque' && spec.words.after,
        bytes: hex(bytesOf(spec, token)),
        frames: framesOf(world, spec, token, sourcePort),
        address: written,
      }),
  };
};
