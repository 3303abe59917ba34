/**
 * Names and paths come from agents. Control characters in them would let an agent write to the operator's terminal
 * (escape sequences), forge log lines (newlines) or reorder what is shown (bidirectional overrides).
 */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\\]/gu;

const escapeOne = (character: string): string => {
  if (character === '\\') return '\\\\';
  const code = character.codePointAt(0) ?? 0;
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
};

/** Text that is safe to show on a terminal. Longer than `limit` UTF-16 units is cut, with `…` at the end. */
export const sanitise = (text: string, limit = 512): string => {
  const safe = text.replace(unprintable, escapeOne);
  return safe.length <= limit ? safe : `${safe.slice(0, limit - 1)}…`;
};
