/** One thing that was looked at. A warning may do harm in some uses; a problem keeps `run` from working. */
export interface Check {
  readonly area: 'kernel' | 'tools' | 'privileges' | 'network' | 'runs';
  readonly name: string;
  readonly status: 'ok' | 'warning' | 'problem';
  /** What was found; lower case, no full stop. */
  readonly found: string;
  /** What to do; absent where it is right. */
  readonly fix?: string;
}

export const ok = (area: Check['area'], name: string, found: string): Check => ({ area, name, status: 'ok', found });

export const warning = (area: Check['area'], name: string, found: string, fix: string): Check => ({
  area,
  name,
  status: 'warning',
  found,
  fix,
});

export const problem = (area: Check['area'], name: string, found: string, fix: string): Check => ({
  area,
  name,
  status: 'problem',
  found,
  fix,
});
