import { isAbsolute } from 'node:path';
import type { Host } from './host.ts';
import type { Mount } from './mount-plan.ts';
import { isWithin } from './path-walk.ts';
import { err, ok, type Result } from './result.ts';

export interface PlannedShares {
  readonly mounts: readonly Mount[];
  /** Real paths. */
  readonly paths: readonly string[];
  readonly warnings: readonly string[];
}

/** Sharing one of these would undo the sandbox as a whole rather than name one thing. */
const neverShared = ['/', '/dev', '/sys'];

export function planShares(shares: readonly string[], host: Host): Result<PlannedShares> {
  const mounts: Mount[] = [];
  const warnings: string[] = [];
  for (const share of shares) {
    if (!isAbsolute(share))
      return err('share-relative', `the share \`${share}\` is not an absolute path`, 'give the path from `/`');
    const place = host.place(share);
    if (place.kind === 'missing') {
      return err(
        'share-missing',
        `the share \`${share}\` does not exist`,
        'a share names an existing file, directory, socket or device',
      );
    }
    // A program contained earlier could have aimed such a link at any socket, for the next run that shares its path.
    const aimed = place.links.find((link) => link.owner !== 0);
    if (aimed !== undefined) {
      return err(
        'share-link',
        `the share \`${share}\` leads over the link \`${aimed.path}\` of user ${aimed.owner}`,
        `share \`${place.real}\` itself if that is meant`,
      );
    }
    if (neverShared.includes(place.real) || isWithin('/proc', place.real)) {
      return err(
        'share-too-wide',
        `\`${share}\` cannot be shared`,
        'share the one file, directory, socket or device that is needed',
      );
    }
    if (place.real === '/run' || place.real === '/var/run') {
      warnings.push(
        `\`${share}\` is shared whole: every service of this machine that listens there can act for the command`,
      );
    }
    const inDevices = isWithin('/dev', place.real);
    mounts.push({ kind: place.kind === 'device' || inDevices ? 'device-bind' : 'bind', path: place.real });
  }
  return ok({ mounts, paths: mounts.map((mount) => mount.path), warnings });
}
