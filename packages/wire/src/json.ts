/** Bounds of a JSON text. Ours: calls of tools are smaller, and one that is not would keep others waiting. */
export const jsonLimits = {
  depth: 64,
  /** Values and names, over the whole text. */
  tokens: 65_536,
} as const;

export type JsonFault =
  /** Not UTF-8, or with a byte order mark (RFC 8259, 8.1): readers differ on what they make of it. */
  | 'encoding'
  | 'syntax'
  | 'too-deep'
  | 'too-many'
  /** Two members of one object with the same name: readers differ on which of them counts. */
  | 'repeated-name';

export type JsonText =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly because: JsonFault };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const decode = (bytes: Uint8Array): string | undefined => {
  try {
    const text = utf8.decode(bytes);
    return text.startsWith('\ufeff') ? undefined : text;
  } catch {
    return undefined;
  }
};

/** Where a string that begins at `start` has its closing quote: the next that no backslash hides; -1: nowhere. */
const closingQuote = (text: string, start: number): number => {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return at;
  }
  return -1;
};

const nameOf = (quoted: string): string | undefined => {
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted);
  } catch {
    return undefined;
  }
};

const [quote, comma, openArray, closeArray, openObject, closeObject] = [0x22, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d];

/** Why a text is not read, whether or not it is JSON. It comes before parsing, which costs much more. */
const refusal = (text: string): Exclude<JsonFault, 'encoding'> | undefined => {
  /** The names so far of each object that is open; undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let isName = false;
  let tokens = 0;
  for (let i = 0; i < text.length; i++) {
    const sign = text.charCodeAt(i);
    if (sign === openObject || sign === openArray) {
      open.push(sign === openObject ? new Set() : undefined);
      if (open.length > jsonLimits.depth) return 'too-deep';
      isName = sign === openObject;
    } else if (sign === closeObject || sign === closeArray) {
      open.pop();
      isName = false;
      continue;
    } else if (sign === comma) {
      isName = open.at(-1) !== undefined;
    } else if (sign === quote) {
      const start = i;
      i = closingQuote(text, start);
      if (i === -1) return 'syntax';
      if (!isName) continue;
      isName = false;
      const name = nameOf(text.slice(start, i + 1));
      const names = open.at(-1);
      if (name === undefined || names === undefined) return 'syntax';
      if (names.has(name)) return 'repeated-name';
      names.add(name);
    } else continue;
    // An object or list, a value behind a comma, a name: each at least one.
    if (++tokens > jsonLimits.tokens) return 'too-many';
  }
  return undefined;
};

/** Reads JSON (RFC 8259) that means the same to every reader. */
export const readJson = (bytes: Uint8Array): JsonText => {
  const text = decode(bytes);
  if (text === undefined) return { ok: false, because: 'encoding' };
  const because = refusal(text);
  if (because !== undefined) return { ok: false, because };
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return { ok: false, because: 'syntax' };
  }
};

export type Members = Readonly<Record<string, unknown>>;

export const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** As lax readers do: Go's encoding/json folds case, upper case first for the long s and the Kelvin sign, and its successor drops `_` and `-`. */
const folded = (name: string): string => name.toUpperCase().toLowerCase().replace(/[_-]/g, '');

/** A member that some reader takes for one of `names`, and that is none of them: by its case, or by what stands in it and is not printed. */
export const hasMistakable = (of: Members, names: ReadonlySet<string>): boolean =>
  Object.keys(of).some((name) => !names.has(name) && (names.has(folded(name)) || !/^[\x20-\x7e]*$/.test(name)));
