import type { Files } from './files.ts';
import { connectLoad } from './load.ts';
import { alone } from './rounds.ts';
import type { Variant } from './variant.ts';

/** A gateway that passes everything is fast: each one that is said to filter is seen to. Throws where one does not. */
export const checkVariant = (variant: Variant, { hello, otherHello }: Files): Promise<void> =>
  alone(variant, async () => {
    const { name, service, denied, world } = variant;
    const short = { seconds: 0.3, concurrency: 2, threads: 1 };
    const { done, failed } = await connectLoad(world.client, { ...short, address: service, hello });
    if (done === 0 || failed > 0) throw new Error(`${name}: ${done} connections to the service, and ${failed} failed`);
    if (denied === undefined) return;
    const isOther = denied.address === service;
    const through = await connectLoad(world.client, {
      ...short,
      address: denied.address,
      hello: isOther ? otherHello : hello,
    });
    if (through.done > 0) throw new Error(`${name}: ${through.done} connections that no rule permits`);
  });
