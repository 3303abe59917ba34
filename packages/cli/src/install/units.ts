import { defaultGroup, socketPath } from '../helper/protocol.ts';

/** A file of an installation, by its path below the root that it is for. */
export interface InstalledFile {
  readonly path: string;
  readonly text: string;
}

export interface UnitOptions {
  /** The program and its first words, with which systemd starts the helper. */
  readonly program: readonly string[];
  /** Whether the group came with the installation, and so goes with it. */
  readonly ownsGroup: boolean;
}

const directory = '/etc/systemd/system';
export const socketUnit = 'cofferdam-helper.socket';
export const serviceUnit = 'cofferdam-helper@.service';
export const runningUnits = 'cofferdam-helper@*.service';

/** A word of ExecStart as systemd.service(5) reads it: nothing in it is expanded. */
const quoted = (word: string): string =>
  `"${word.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`;

const groupLine = '# The group was made by `cofferdam install`, and goes with it.';

export const ownsGroup = (socketText: string): boolean => socketText.includes(groupLine);

/**
 * systemd listens, and starts a process for each run: where nobody runs anything, nothing of ours is there. The service changes nothing about
 * its view of the file system, since the commands of runs see that too.
 */
export const unitFiles = ({ program, ownsGroup: owns }: UnitOptions): readonly InstalledFile[] => [
  {
    path: `${directory}/${socketUnit}`,
    text: `# Written by \`cofferdam install\`; \`cofferdam uninstall\` takes it away.
${owns ? `${groupLine}\n` : ''}[Unit]
Description=Cofferdam runs for members of the group ${defaultGroup}

[Socket]
ListenStream=${socketPath}
SocketUser=root
SocketGroup=${defaultGroup}
SocketMode=0660
DirectoryMode=0755
Accept=yes
MaxConnections=64
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
`,
  },
  {
    path: `${directory}/${serviceUnit}`,
    text: `# Written by \`cofferdam install\`; \`cofferdam uninstall\` takes it away.
[Unit]
Description=One Cofferdam run
CollectMode=inactive-or-failed

[Service]
ExecStart=${[...program, 'helper', '--connection', '--group', defaultGroup].map(quoted).join(' ')}
StandardInput=socket
StandardOutput=journal
StandardError=journal
SyslogIdentifier=cofferdam
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin
KillMode=mixed
TimeoutStopSec=10
TasksMax=infinity
OOMPolicy=continue
KeyringMode=private
LimitCORE=0
`,
  },
];
