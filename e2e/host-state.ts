import assert from 'node:assert/strict';
import type { Lab } from '@cofferdam/testkit/lab';

/** What a run may find on its host and must leave as it was. */

/** Runs a program on the lab's host, which has to succeed. */
export const onHost = async (lab: Lab, ...argv: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await lab.exec('host', argv);
  assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
  return stdout;
};

const sysctls = [
  'net.ipv4.ip_forward',
  'net.ipv6.conf.all.forwarding',
  'net.ipv6.conf.default.forwarding',
  'net.ipv6.conf.eth0.forwarding',
  'net.ipv6.conf.eth0.accept_ra',
  'net.ipv4.conf.all.rp_filter',
  'net.ipv4.conf.all.src_valid_mark',
  'net.ipv4.conf.eth0.rp_filter',
  'net.ipv4.conf.eth0.forwarding',
];

/** Everything on the host that a run could leave behind, as text. */
export const hostState = async (lab: Lab): Promise<string> =>
  (
    await Promise.all([
      onHost(lab, 'nft', 'list', 'ruleset'),
      onHost(lab, 'ip', '-o', 'link'),
      onHost(lab, 'ip', '-o', 'address'),
      onHost(lab, 'ip', 'rule'),
      onHost(lab, 'ip', '-6', 'rule'),
      onHost(lab, 'ip', 'route', 'show', 'table', 'all'),
      onHost(lab, 'ip', '-6', 'route', 'show', 'table', 'all'),
      onHost(lab, 'sysctl', ...sysctls),
      onHost(
        lab,
        'sh',
        '-c',
        'ls /sys/fs/bpf /run/netns; mkdir -p /run/cofferdam; find /run/cofferdam -type s -o -type p',
      ),
    ])
  )
    .join('\n')
    .replaceAll(/ expires \d+sec/g, '');

/** Without what counters have counted. */
export const counted = (state: string): string => state.replaceAll(/packets \d+ bytes \d+/g, 'packets bytes');

/** A command that fetches each URL and prints the status codes. */
export const fetch = (...urls: readonly string[]): readonly string[] => [
  ...['curl', '-sS', '-m', '8', '-w', '%{http_code} '],
  ...urls.flatMap((url) => ['-o', '/dev/null', url]),
];
