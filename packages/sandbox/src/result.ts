/** A failure that the caller is expected to show: `code` is stable, `message` is lower case, `help` says what would be accepted. */
export interface SandboxError {
  readonly code: string;
  readonly message: string;
  readonly help: string;
}

/** Same shape as the `Result` of `@cofferdam/net`; this package imports nothing of ours. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: SandboxError };

export function ok<T>(value: T): Result<T> {
  return { ok: true, value };
}

export function err(code: string, message: string, help: string): { readonly ok: false; readonly error: SandboxError } {
  return { ok: false, error: { code, message, help } };
}
