import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { err, ok, quote, type Result } from '@cofferdam/net';
import { listed } from '../nearest.ts';
import { listRuns, readRun, runStatusSocket } from '../run-directory.ts';

/** A run or a gateway that can be asked. */
export interface LiveGateway {
  /** `run 1a2b3c4d`, `gateway main`. */
  readonly title: string;
  /** The option that means it. */
  readonly option: string;
  readonly socket: string;
}

/** The run that a gateway of a network has its state under. A test compares it with that of the gateway package, which needs a kernel's libraries. */
export const gatewayRun = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 8);

const isSocket = (path: string): boolean => {
  try {
    return statSync(path).isSocket();
  } catch {
    // Not there, or not for us to see; whoever asks by name is told which.
    return false;
  }
};

const runOf = (run: string, runs: string): LiveGateway => ({
  title: `run ${run}`,
  option: `--run ${run}`,
  socket: runStatusSocket(run, runs),
});

const gatewayOf = (name: string, runs: string): LiveGateway => ({
  title: `gateway ${name}`,
  option: `--gateway ${name}`,
  socket: runStatusSocket(gatewayRun(name), runs),
});

const allLive = (runs: string): readonly LiveGateway[] => {
  const listing = listRuns(runs);
  const live = listing.kind === 'runs' ? listing.runs.filter((entry) => entry.live) : [];
  return live
    .map(({ run }) => {
      const name = readRun(run, runs)?.agent;
      return name !== undefined && run === gatewayRun(name) ? gatewayOf(name, runs) : runOf(run, runs);
    })
    .filter(({ socket }) => isSocket(socket));
};

const isName = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(text);

/** The one that was asked for, else the only one that is live. */
export const chooseGateway = (
  asked: { readonly run: string | undefined; readonly gateway: string | undefined },
  runs: string,
): Result<LiveGateway> => {
  const wanted = asked.run ?? asked.gateway;
  if (wanted !== undefined) {
    const found = asked.run === undefined ? gatewayOf(wanted, runs) : runOf(wanted, runs);
    return isName(wanted)
      ? ok(found)
      : err('gateway', `there is no ${found.title}`, `${quote(wanted)} is no name of one`);
  }
  const live = allLive(runs);
  const [only] = live;
  if (only !== undefined && live.length === 1) return ok(only);
  return only === undefined
    ? err('gateway', 'no run or gateway is live that you may ask', 'use sudo, or count in a log: `--log FILE`')
    : err(
        'gateway',
        `${live.length} runs and gateways are live`,
        `say which: ${listed(live.map(({ option }) => option))}`,
      );
};
