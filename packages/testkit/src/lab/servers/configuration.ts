/** What the lab tells the process that plays the servers of one machine (a JSON file; its path is the only argument). */
import type { WorldHost } from '../world.ts';

export interface ServersConfiguration {
  readonly hosts: readonly WorldHost[];
  /** Folder with `NAME.pem` for each name and `leaf.key`. */
  readonly certificates: string;
  /** Folder that `https` serves bare git repositories from. */
  readonly repositories: string;
  /** Port on 127.0.0.1 where sshd listens. */
  readonly sshPort: number;
  /** Real DNS servers on 127.0.0.1 that answer behind a recording front. */
  readonly dnsFronts: readonly { readonly server: string; readonly address: string; readonly port: number }[];
}

/** Lines of the process: arrivals, and the answers to what is written to its input. */
export type ServersMessage = { readonly kind: 'ready' } | { readonly kind: 'flushed'; readonly token: string };
