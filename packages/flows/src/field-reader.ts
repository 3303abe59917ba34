import { type Address, parseAddress } from '@cofferdam/net';

/** Reads the fields of one JSON object and remembers the first thing that is wrong, so that parsing needs no exceptions. */
export interface FieldReader {
  /** The first problem found in this object or any object inside it. */
  readonly problem: () => string | undefined;
  readonly has: (key: string) => boolean;
  /** True where the field is exactly this. */
  readonly is: (key: string, value: string | boolean) => boolean;
  readonly string: (key: string) => string;
  readonly optionalString: (key: string) => string | undefined;
  readonly boolean: (key: string) => boolean;
  /** A safe integer from 0 upward. */
  readonly count: (key: string) => number;
  readonly optionalCount: (key: string) => number | undefined;
  /** ISO 8601 UTC with milliseconds, as milliseconds since the epoch. */
  readonly time: (key: string) => number;
  readonly optionalTime: (key: string) => number | undefined;
  readonly oneOf: <T extends string>(key: string, choices: readonly T[]) => T;
  readonly address: (key: string) => Address;
  readonly strings: (key: string) => readonly string[];
  readonly addresses: (key: string) => readonly Address[];
  readonly object: (key: string) => FieldReader;
  readonly optionalObject: (key: string) => FieldReader | undefined;
  /** A flat object of strings. */
  readonly labels: (key: string) => Readonly<Record<string, string>>;
  readonly fail: (key: string, wanted: string) => void;
}

type Note = (problem: string) => void;

const nowhere: Address = { family: 4, value: 0n };

const isObject = (v: unknown): v is Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

const readerOf = (
  fields: Readonly<Record<string, unknown>>,
  at: string,
  first: () => string | undefined,
  note: Note,
) => {
  const get = (key: string): unknown => (Object.hasOwn(fields, key) ? fields[key] : undefined);
  const fail = (key: string, wanted: string): void => note(`\`${at}${key}\` is not ${wanted}`);

  const string = (key: string): string => {
    const v = get(key);
    if (typeof v === 'string') return v;
    fail(key, 'text');
    return '';
  };
  const count = (key: string): number => {
    const v = get(key);
    if (Number.isSafeInteger(v) && (v as number) >= 0) return v as number;
    fail(key, 'a whole number from 0 upward');
    return 0;
  };
  const time = (key: string): number => {
    const text = string(key);
    const at = Date.parse(text);
    if (!Number.isNaN(at) && new Date(at).toISOString() === text) return at;
    fail(key, 'a time such as `2027-01-31T00:00:00.000Z`');
    return 0;
  };
  const strings = (key: string): readonly string[] => {
    const v = get(key);
    if (Array.isArray(v) && v.every((item) => typeof item === 'string')) return v;
    fail(key, 'a list of texts');
    return [];
  };
  const toAddress = (key: string, text: string): Address => {
    const address = parseAddress(text);
    if (address === undefined) fail(key, 'an IP address');
    return address ?? nowhere;
  };
  const object = (key: string): FieldReader => {
    const v = get(key);
    if (!isObject(v)) fail(key, 'an object');
    return readerOf(isObject(v) ? v : {}, `${at}${key}.`, first, note);
  };
  const ifPresent = <T>(key: string, read: (key: string) => T): T | undefined =>
    get(key) === undefined ? undefined : read(key);

  const reader: FieldReader = {
    problem: first,
    has: (key) => get(key) !== undefined,
    is: (key, value) => get(key) === value,
    string,
    optionalString: (key) => ifPresent(key, string),
    boolean: (key) => {
      const v = get(key);
      if (typeof v !== 'boolean') fail(key, 'true or false');
      return v === true;
    },
    count,
    optionalCount: (key) => ifPresent(key, count),
    time,
    optionalTime: (key) => ifPresent(key, time),
    oneOf: <T extends string>(key: string, choices: readonly T[]): T => {
      const v = get(key);
      const found = choices.find((choice) => choice === v);
      if (found === undefined) fail(key, `one of ${choices.join(', ')}`);
      return found ?? choices[0]!;
    },
    address: (key) => toAddress(key, string(key)),
    strings,
    addresses: (key) => strings(key).map((text) => toAddress(key, text)),
    object,
    optionalObject: (key) => ifPresent(key, object),
    labels: (key) => {
      const v = get(key);
      if (isObject(v) && Object.values(v).every((item) => typeof item === 'string')) return v as Record<string, string>;
      fail(key, 'an object of texts');
      return {};
    },
    fail,
  };
  return reader;
};

export const fieldReader = (value: unknown): FieldReader => {
  let problem: string | undefined;
  const note: Note = (text) => {
    problem ??= text;
  };
  if (!isObject(value)) note('a record is not an object');
  return readerOf(isObject(value) ? value : {}, '', () => problem, note);
};
