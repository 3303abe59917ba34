/** Packets on a device of the lab, for claims such as "not one packet left for that address". */
import { join } from 'node:path';
import type { Machine } from './machine.ts';

export interface Capture {
  /** One line of tcpdump for each packet that matches (pcap-filter(7)), numeric, oldest first. */
  readonly packets: (filter?: string) => Promise<readonly string[]>;
  readonly stop: () => Promise<void>;
}

let count = 0;

export async function startCapture(machine: Machine, device: string, directory: string): Promise<Capture> {
  count += 1;
  // The name ends as tcpdump's AppArmor profile wants it.
  const file = join(directory, `capture${count}.pcap`);
  const options = ['--immediate-mode', '--packet-buffered', '--relinquish-privileges=root', '-n', '-s', '256'];
  const tcpdump = machine.spawn(['tcpdump', '-i', device, ...options, '-w', file]);
  await tcpdump.waitFor(/listening on/);
  return {
    async packets(filter = '') {
      const read = await machine.exec(['tcpdump', '-n', '-tt', '--relinquish-privileges=root', '-r', file, filter]);
      if (read.code !== 0) throw new Error(`tcpdump cannot read the capture: ${read.stderr}`);
      return read.stdout.split('\n').filter((line) => line !== '');
    },
    async stop() {
      await tcpdump.kill('SIGINT');
      await tcpdump.ended;
    },
  };
}
