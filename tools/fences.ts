/** Which package may import which, and why: DESIGN section 4 as data. A package that is not listed fails the check. */
export interface Fence {
  /** Packages of ours that its `src` may import. */
  readonly may: readonly string[];
  /** May it touch Node's own modules? Where not, it must load in a browser: console and validator use it. */
  readonly node: boolean;
  /** Said when the fence is crossed. */
  readonly because: string;
}

const values = ['net', 'verdict'] as const;
const pure = 'it is made of values that load in a browser, so it does no input or output';

export const fences: Readonly<Record<string, Fence>> = {
  net: { may: [], node: false, because: `addresses and names stand under everything; ${pure}` },
  verdict: {
    may: ['net'],
    node: false,
    because: `facts, decisions and reasons are shared by language, plan and datapath; ${pure}`,
  },
  wire: { may: values, node: false, because: `it turns bytes into values and knows no policy; ${pure}` },
  policy: {
    may: values,
    node: false,
    because: `the language is judged against nothing but itself: its evaluator is the reference for the plan; ${pure}`,
  },
  plan: {
    may: values,
    node: false,
    because: `an enforcer gets the plan and no more, never the language it came from; ${pure}`,
  },
  compiler: {
    may: [...values, 'policy', 'plan'],
    node: false,
    because: `it is a function from policy and inventory to plan; ${pure}`,
  },
  flows: {
    may: values,
    node: false,
    because: `the record is read by console and replay, far from any gateway; ${pure}`,
  },
  replay: {
    may: [...values, 'plan', 'flows'],
    node: false,
    because: `it asks a plan about records and reads neither policy nor files: console and controller replay too; ${pure}`,
  },
  datapath: {
    may: [...values, 'plan'],
    node: true,
    because: 'the kernel side takes a plan; it reads no policy and parses no protocol in user space',
  },
  sandbox: { may: [], node: true, because: 'it contains a process and knows nothing of networks or policy' },
  certificates: { may: ['net'], node: true, because: 'it signs names, and knows neither policy nor files' },
  gateway: {
    may: [...values, 'plan', 'wire', 'datapath', 'flows', 'certificates'],
    node: true,
    because: 'an enforcer runs compiled plans: a parser or compiler in it would be attack surface in the path',
  },
  cli: { may: ['*'], node: true, because: 'it is a face of all the others' },
  testkit: {
    may: [...values, 'wire', 'policy', 'plan', 'flows'],
    node: true,
    because: 'it makes inputs for tests; what it is to test must not be in it',
  },
};

/** Only tests may import it: it plays attackers and servers. */
export const testsOnly = 'testkit';
