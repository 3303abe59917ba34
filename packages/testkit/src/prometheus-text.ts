/**
 * A strict reader of the Prometheus text format, version 0.0.4. It takes less than Prometheus does: one HELP and one TYPE before the samples
 * of each family, all of which stand together, no sample twice, labels without repeats, counters that end in `_total` and are not negative.
 * It throws where a line is anything else.
 */
export interface ReadFamily {
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly samples: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const number = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

/** The text between two quotes, and what is behind the second. */
const quoted = (text: string): readonly [value: string, rest: string] => {
  let value = '';
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '"') return [value, text.slice(i + 1)];
    if (character !== '\\') {
      value += character;
      continue;
    }
    const escaped = text[++i];
    if (escaped === 'n') value += '\n';
    else if (escaped === '\\' || escaped === '"') value += escaped;
    else throw new Error(`\\${escaped} is no escape: ${text}`);
  }
  throw new Error(`a label value does not end: ${text}`);
};

const labelsOf = (text: string): readonly [Record<string, string>, rest: string] => {
  const labels: Record<string, string> = {};
  let rest = text;
  for (;;) {
    const equals = rest.indexOf('="');
    const name = rest.slice(0, equals);
    if (equals < 0 || !labelName.test(name) || name.startsWith('__')) throw new Error(`no label: ${rest}`);
    if (Object.hasOwn(labels, name)) throw new Error(`label ${name} is there twice: ${text}`);
    [labels[name], rest] = quoted(rest.slice(equals + 2));
    if (rest.startsWith('}')) return [labels, rest.slice(1)];
    if (!rest.startsWith(',')) throw new Error(`neither , nor } behind a label: ${text}`);
    rest = rest.slice(1);
  }
};

export const readPrometheus = (text: string): ReadonlyMap<string, ReadFamily> => {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<
    string,
    { type: 'counter' | 'gauge'; help: string; samples: ReadFamily['samples'][number][] }
  >();
  const seen = new Set<string>();
  let help: readonly [name: string, text: string] | undefined;
  let current: string | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    if (line.startsWith('# HELP ')) {
      const space = line.indexOf(' ', 7);
      help = [line.slice(7, space), line.slice(space + 1)];
      if (!metricName.test(help[0]) || space < 0 || help[1] === '') throw new Error(`no help: ${line}`);
      if (/\\(?![n\\])/.test(help[1].replaceAll('\\\\', ''))) throw new Error(`no escape in ${line}`);
      continue;
    }
    const typed = /^# TYPE (\S+) (counter|gauge)$/.exec(line);
    if (typed !== null) {
      const [, name, type] = typed;
      if (help?.[0] !== name || families.has(name!)) throw new Error(`TYPE not behind its HELP, or again: ${line}`);
      if ((type === 'counter') !== name!.endsWith('_total')) throw new Error(`a ${type} is called ${name}`);
      families.set(name!, { type: type as 'counter' | 'gauge', help: help![1], samples: [] });
      current = name;
      continue;
    }
    const [, name, behind] = /^([^\s{]+)(.*)$/.exec(line) ?? [];
    if (name === undefined || name !== current) throw new Error(`a sample outside its family: ${line}`);
    const [labels, rest] = behind!.startsWith('{') ? labelsOf(behind!.slice(1)) : [{}, behind!];
    if (!rest.startsWith(' ') || !number.test(rest.slice(1))) throw new Error(`no value: ${line}`);
    const value = Number(rest.slice(1));
    const family = families.get(name)!;
    if (family.type === 'counter' && value < 0) throw new Error(`a counter below 0: ${line}`);
    const key = `${name}${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(key)) throw new Error(`there twice: ${line}`);
    seen.add(key);
    family.samples.push({ labels, value });
  }
  for (const [name, { samples }] of families) if (samples.length === 0) throw new Error(`${name} has no sample`);
  return families;
};

/** The one value of a family that has these labels. */
export const sampleOf = (
  families: ReadonlyMap<string, ReadFamily>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined =>
  families
    .get(name)
    ?.samples.find(
      (sample) =>
        Object.keys(sample.labels).length === Object.keys(labels).length &&
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    )?.value;
