/**
 * The main jobs on an embedded small internet. Everything is real: namespaces, kernel program, TLS servers, resolvers, curl. Nothing leaves
 * this machine. Exits with 1 if anything that should not arrive does.
 */
import { labUnavailable, startLab } from '@cofferdam/testkit/lab';
import { insideTls, insideTlsRecords } from './demo/inside-tls.ts';
import { network } from './demo/network.ts';
import { oneCommand } from './demo/one-command.ts';
import { bold, right, wrong } from './demo/stage.ts';

const main = async (): Promise<number> => {
  const missing = labUnavailable();
  if (missing !== undefined) {
    console.error(`demo: cannot run here: ${missing}`);
    return 1;
  }
  const started = Date.now();
  console.log(bold('Cofferdam: agents at work, and under attack'));
  console.log(
    'A small internet is started on this machine, in namespaces of its own: resolvers, web sites, a content network,',
  );
  console.log('a cloud metadata service, a company network, subnets of agents, and an attacker.\n');
  const lab = await startLab({ daemons: ['resolver', 'resolver2'], records: insideTlsRecords });
  let failures = 0;
  try {
    failures += await oneCommand(lab);
    failures += await network(lab);
    failures += await insideTls(lab);
  } finally {
    await lab.stop();
  }
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  if (failures > 0) {
    console.log(wrong(`${failures} steps went wrong (${seconds} s)`));
    return 1;
  }
  console.log(right(`all as it should be (${seconds} s)`));
  console.log('  Try it yourself: sudo ./cofferdam run --policy examples/coding-agent.yaml -- bash');
  return 0;
};

process.exitCode = await main();
