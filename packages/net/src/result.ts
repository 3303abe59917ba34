/** Why a text was refused. */
export interface Refusal {
  /** Stable, kebab-case; what tests, documentation and editors go by. */
  readonly code: string;
  /** Lower case, no final period, the user's text in backticks. */
  readonly message: string;
  /** What would be accepted; the nearest valid form where there is one. */
  readonly help: string;
}

/** An expected failure is a value: a policy document reports all its problems at once. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: Refusal };

export const ok = <T>(value: T): Result<T> => ({ ok: true, value });

export const err = (code: string, message: string, help: string): Result<never> => ({
  ok: false,
  error: { code, message, help },
});

/** User text for a message: in backticks, control characters escaped, shortened where it is very long. */
export function quote(text: string): string {
  const printable = text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u{${c.codePointAt(0)!.toString(16).padStart(2, '0')}}`,
  );
  return printable.length > 300 ? `\`${printable.slice(0, 300)}…\`` : `\`${printable}\``;
}
