/** Bounds of a JSON text. Ours: JSON-RPC that is deeper is nobody's. */
export const jsonLimits = { depth: 64 } as const;

export type JsonFault =
  /** Not UTF-8, or with a byte order mark (RFC 8259, 8.1): readers differ on what they make of it. */
  | 'encoding'
  | 'syntax'
  | 'too-deep'
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

/** Where a string that begins at `start` has its closing quote: the next that no backslash hides. */
const closingQuote = (text: string, start: number): number => {
  for (let at = text.indexOf('"', start + 1); ; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return at;
  }
};

/** What makes a text that is valid JSON one that is not read here. */
const ambiguity = (text: string): 'too-deep' | 'repeated-name' | undefined => {
  /** The names so far of each object that is open; undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let isName = false;
  for (let i = 0; i < text.length; i++) {
    const sign = text[i];
    if (sign === '{' || sign === '[') {
      open.push(sign === '{' ? new Set() : undefined);
      if (open.length > jsonLimits.depth) return 'too-deep';
      isName = sign === '{';
    } else if (sign === '}' || sign === ']') {
      open.pop();
      isName = false;
    } else if (sign === ',') {
      isName = open.at(-1) !== undefined;
    } else if (sign === '"') {
      const start = i;
      i = closingQuote(text, start);
      if (!isName) continue;
      isName = false;
      const name: string = JSON.parse(text.slice(start, i + 1));
      const names = open.at(-1)!;
      if (names.has(name)) return 'repeated-name';
      names.add(name);
    }
  }
  return undefined;
};

/** Reads JSON (RFC 8259) that means the same to every reader. */
export const readJson = (bytes: Uint8Array): JsonText => {
  const text = decode(bytes);
  if (text === undefined) return { ok: false, because: 'encoding' };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, because: 'syntax' };
  }
  const because = ambiguity(text);
  return because === undefined ? { ok: true, value } : { ok: false, because };
};
