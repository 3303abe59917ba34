import { createNetworkNamespace } from '@cofferdam/datapath';
import { runInside } from './inside.ts';
import { nftList } from './rule-set.ts';
import { median } from './statistics.ts';

/** Milliseconds in which nft puts a list of rules in force where another one was. */
export const timeOfNftList = (rules: number, times: number): number => {
  const namespace = createNetworkNamespace();
  try {
    const list = nftList(rules);
    runInside(namespace.path, ['nft', '-f', '-'], list);
    const taken = Array.from({ length: times }, () => {
      const from = performance.now();
      runInside(namespace.path, ['nft', '-f', '-'], `delete table inet bench\n${list}`);
      return performance.now() - from;
    });
    return median(taken);
  } finally {
    namespace.close();
  }
};
