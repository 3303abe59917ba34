/** Variables that speak of a service manager or a privilege switch which CMD is not under, whatever their value. */
const meaningless = new Set([
  'LISTEN_FDS',
  'LISTEN_PID',
  'LISTEN_FDNAMES',
  'WATCHDOG_PID',
  'WATCHDOG_USEC',
  'MAINPID',
  'MANAGERPID',
  'INVOCATION_ID',
  'JOURNAL_STREAM',
  'SUDO_COMMAND',
  'SUDO_USER',
  'SUDO_UID',
  'SUDO_GID',
  'PKEXEC_UID',
]);

/** Names that only say where something outside listens, in forms that hold no path. */
const pathlessForms: readonly { readonly name: RegExp; readonly value: RegExp }[] = [
  { name: /^DBUS_(SESSION|SYSTEM|STARTER)_BUS_ADDRESS$/, value: /^(?!unix:path=|tcp:)/ },
  { name: /^NOTIFY_SOCKET$/, value: /^[@v]/ }, // abstract, or vsock:CID:PORT
  { name: /_(SOCK|SOCKET|LISTEN_ON)$/, value: /^(unix:)?@/ },
];

/** `:0`, `:1.0`, `unix:0`: a local display is a socket in /tmp/.X11-unix; `host:0` is TCP and the policy's business. */
const localDisplay = /^(?:unix)?:([0-9]+)(?:\.[0-9]+)?$/;

/** The path that a value points at: bare, `unix:///path`, `unix:path=/path,guid=…`, tmux's `/path,pid,window`, `/path:pid:1`. */
export function pathInValue(value: string): string | undefined {
  const path = /^(?:unix:path=|unix:\/\/|unix:|file:\/\/)?(\/[^,:;]*)/.exec(value)?.[1];
  if (path === undefined) return undefined;
  // A list such as PATH names many places; a program skips those that are missing.
  if (/^\/[^:]*:\//.test(value)) return undefined;
  return path.replace(/\/+$/, '') || '/';
}

export interface ScrubbedEnvironment {
  readonly variables: ReadonlyMap<string, string>;
  /** Names of what was left out, sorted. */
  readonly removed: readonly string[];
}

/**
 * Leaves out what points at hidden places, so that programs fail at once and say why instead of trying a dead address.
 * `hidden` answers for a path as it is written, links not followed.
 */
export function scrubEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  hidden: (path: string) => boolean,
): ScrubbedEnvironment {
  const variables = new Map<string, string>();
  const removed: string[] = [];
  const runtime = environment.XDG_RUNTIME_DIR;
  const misleading = (name: string, value: string): boolean => {
    if (meaningless.has(name)) return true;
    if (pathlessForms.some((form) => form.name.test(name) && form.value.test(value))) return true;
    const display = name === 'DISPLAY' ? localDisplay.exec(value)?.[1] : undefined;
    if (display !== undefined) return hidden(`/tmp/.X11-unix/X${display}`);
    if (name === 'WAYLAND_DISPLAY' && !value.startsWith('/'))
      return runtime === undefined || hidden(`${runtime}/${value}`);
    const path = pathInValue(value);
    return path !== undefined && hidden(path);
  };
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || name === '' || name.includes('=') || value.includes('\0')) continue;
    if (misleading(name, value)) removed.push(name);
    else variables.set(name, value);
  }
  return { variables, removed: removed.sort() };
}

/** What the dynamic linker, the C library or a shell obey. */
const obeyed =
  /^(LD_|GLIBC_|MALLOC_|GCONV_|RESOLV_|BASH)|^(LOCPATH|NLSPATH|HOSTALIASES|LOCALDOMAIN|RES_OPTIONS|TZDIR|GETCONF_DIR|ENV|IFS|PS4|SHELLOPTS|CDPATH|POSIXLY_CORRECT)$/;

/**
 * True for variables that reach CMD only after privileges were dropped: a preloaded library must not run in the steps
 * that still have them. Also for names that a shell would not pass on.
 */
export function isForCommandOnly(name: string): boolean {
  return obeyed.test(name) || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}
