import { type FieldFault, type HttpField, maximumFields, parseField } from './http-field.ts';
import { createLineReader, type LineFault } from './http-line.ts';

/** Bounds of a message head. Ours; as large as what common servers take. */
export const headLimits = { line: 8_192, total: 65_536 } as const;

export type HeadFault = LineFault | FieldFault;

/** The lines of a head: its first, then its fields up to the empty line. */
export interface HeadLines<Start> {
  readonly start: Start;
  readonly fields: readonly HttpField[];
  /** Bytes of stream up to and with the empty line. */
  readonly headLength: number;
}

export type HeadProgress<Start, StartFault> =
  | { readonly state: 'need-more' }
  | { readonly state: 'unreadable'; readonly because: HeadFault | StartFault }
  | { readonly state: 'lines'; readonly lines: HeadLines<Start> };

/** Reads head lines off a stream; `parseStart` turns the first line into a value, or a fault if it returns a text. */
export const createHeadLines = <Start extends object, StartFault extends string>(
  parseStart: (line: string) => Start | StartFault,
): ((bytes: Uint8Array) => HeadProgress<Start, StartFault>) => {
  const nextLine = createLineReader(headLimits);
  const fields: HttpField[] = [];
  let start: Start | undefined;
  let headLength = 0;

  return (bytes) => {
    let at = 0;
    for (;;) {
      const taken = nextLine(bytes.subarray(at));
      if (taken.kind === 'need-more') {
        headLength += bytes.length - at;
        return { state: 'need-more' };
      }
      if (taken.kind === 'fault') return { state: 'unreadable', because: taken.because };
      at += taken.consumed;
      headLength += taken.consumed;
      if (start === undefined) {
        const parsed = parseStart(taken.line);
        if (typeof parsed === 'string') return { state: 'unreadable', because: parsed };
        start = parsed;
        continue;
      }
      if (taken.line === '') return { state: 'lines', lines: { start, fields, headLength } };
      if (fields.length === maximumFields) return { state: 'unreadable', because: 'too-many-fields' };
      const field = parseField(taken.line);
      if (typeof field === 'string') return { state: 'unreadable', because: field };
      fields.push(field);
    }
  };
};
