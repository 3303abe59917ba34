import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseRecord } from '@cofferdam/flows';
import { openLogTail } from '../src/flows/log-tail.ts';
import { openFlowSink, openRotatingSink } from '../src/run/flow-sink.ts';
import { workDirectory } from './cofferdam.ts';
import { flowLine } from './records.ts';

const record = (id: number) => {
  const parsed = parseRecord(flowLine({ id: String(id).padStart(4, '0'), at: 0, end: 1 }));
  assert.ok(parsed.ok);
  return parsed.value;
};
const place = (): string => join(workDirectory(), 'flows.jsonl');

/** Of one record, and of as many as fit. */
const bytes = ((): number => {
  const path = place();
  const sink = openFlowSink(path, 1e9);
  sink.write(record(1));
  sink.close();
  return statSync(path).size;
})();
const bound = 10 * bytes + 5;

const idsIn = (path: string): readonly number[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => Number(JSON.parse(line).id));
const from = (first: number, last: number): readonly number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);
const read = (path: string): readonly number[] => {
  const tail = openLogTail(path);
  const ids: number[] = [];
  tail.read((line) => ids.push(Number(JSON.parse(line).id)));
  tail.close();
  return ids;
};

describe('a file that ends', () => {
  test('what does not fit is lost and counted, and the beginning stays', () => {
    const path = place();
    const sink = openFlowSink(path, bound);
    for (const id of from(1, 14)) sink.write(record(id));
    assert.ok(statSync(path).size <= bound);
    const written = idsIn(path);
    assert.deepEqual(written, from(1, written.length));
    assert.deepEqual(sink.lost(), { count: 14 - written.length, because: `the log of a run ends at ${bound} bytes` });
    sink.close();
  });
});

describe('a file that rotates', () => {
  const written = (path: string, ...ids: readonly number[]) => {
    const sink = openRotatingSink(path, bound);
    for (const id of ids) sink.write(record(id));
    return sink;
  };

  test('keeps the newest in two files of the bound, and loses none between them', () => {
    const path = place();
    const sink = written(path, ...from(1, 1000));
    sink.close();
    assert.deepEqual(sink.lost(), { count: 0, because: '' });
    const [older, newer] = [idsIn(`${path}.1`), idsIn(path)];
    assert.equal(newer.at(-1), 1000);
    assert.deepEqual([...older, ...newer], from(older[0]!, 1000));
    assert.ok(older.length >= 9, `${older.length} records in the older file`);
    for (const one of [path, `${path}.1`]) {
      assert.ok(statSync(one).size <= bound);
      assert.equal(statSync(one).mode & 0o777, 0o600);
    }
    assert.deepEqual(read(path), [...older, ...newer], 'and is read in one piece');
    assert.equal(existsSync(`${path}.2`), false);
  });

  test('what is there already counts', () => {
    const path = place();
    written(path, ...from(1, 9)).close();
    assert.equal(existsSync(`${path}.1`), false);
    written(path, ...from(10, 12)).close();
    assert.deepEqual(read(path), from(1, 12));
    assert.ok(existsSync(`${path}.1`));
  });

  test('two that write to one file both go on with the new one', () => {
    const path = place();
    const [a, b] = [written(path), written(path)];
    for (const id of from(1, 200)) (id % 2 === 0 ? a : b).write(record(id));
    assert.deepEqual([...idsIn(`${path}.1`), ...idsIn(path)].at(-1), 200);
    assert.deepEqual(
      [a, b].map((one) => one.lost().count),
      [0, 0],
    );
    for (const one of [path, `${path}.1`]) assert.ok(statSync(one).size <= bound + bytes);
  });

  test('one that somebody else moves or cuts is gone on with', () => {
    const path = place();
    const sink = written(path, ...from(1, 5));
    renameSync(path, `${path}.yesterday`);
    writeFileSync(path, '', { mode: 0o600 });
    for (const id of from(6, 12)) sink.write(record(id));
    assert.deepEqual([...idsIn(`${path}.yesterday`), ...read(path)], from(1, 12));
    truncateSync(path, 0);
    for (const id of from(13, 20)) sink.write(record(id));
    assert.ok(idsIn(path).length >= 8);
    sink.close();
  });

  test('no link, pipe or directory that the command puts there is written to', () => {
    const target = place();
    writeFileSync(target, 'important');
    const path = place();
    const sink = written(path, ...from(1, 5));
    renameSync(path, `${path}.moved`);
    symlinkSync(target, path);
    for (const id of from(6, 30)) sink.write(record(id));
    assert.equal(readFileSync(target, 'utf8'), 'important');
    assert.ok(sink.lost().count > 0, 'control: they had no place');
    assert.match(sink.lost().because, /ELOOP/);

    const other = place();
    mkdirSync(`${other}.1`);
    const stuck = written(other, ...from(1, 30));
    assert.ok(stuck.lost().count >= 20);
    assert.match(stuck.lost().because, /EISDIR|ENOTEMPTY/);
    assert.ok(statSync(other).size <= bound);
  });

  test('the directory is the one that was named, whatever has its name later', () => {
    const outer = workDirectory();
    const [logs, elsewhere] = [join(outer, 'logs'), join(outer, 'elsewhere')];
    mkdirSync(logs);
    mkdirSync(elsewhere);
    const sink = written(join(logs, 'flows.jsonl'), ...from(1, 5));
    renameSync(logs, join(outer, 'away'));
    symlinkSync(elsewhere, logs);
    for (const id of from(6, 40)) sink.write(record(id));
    assert.equal(existsSync(join(elsewhere, 'flows.jsonl')), false);
    assert.equal(idsIn(join(outer, 'away', 'flows.jsonl')).at(-1), 40);
  });

  test('a device takes all of it', () => {
    const sink = written('/dev/null', ...from(1, 100));
    assert.equal(sink.lost().count, 0);
    assert.equal(existsSync('/dev/null.1'), false);
    sink.close();
  });
});

describe('a reader', () => {
  test('loses nothing while the file rotates under it, however seldom it looks', () => {
    const path = place();
    const sink = openRotatingSink(path, bound);
    sink.write(record(1));
    const tail = openLogTail(path);
    const ids: number[] = [];
    for (const id of from(2, 300)) {
      sink.write(record(id));
      // Seldom enough to meet every place between two rotations, often enough to miss none.
      if (id % 7 === 0) tail.read((line) => ids.push(Number(JSON.parse(line).id)));
    }
    tail.read((line) => ids.push(Number(JSON.parse(line).id)));
    assert.deepEqual(ids, from(1, 300));
    tail.close();
  });

  test('half a line at the end of the older file is given on, and counts as damaged', () => {
    const path = place();
    writeFileSync(`${path}.1`, `${flowLine({ id: '1', at: 0 })}\n{"version":1,"ki`);
    writeFileSync(path, `${flowLine({ id: '2', at: 0 })}\n`);
    const tail = openLogTail(path);
    const lines: string[] = [];
    tail.read((line) => lines.push(line));
    assert.deepEqual(
      lines.map((line) => parseRecord(line).ok),
      [true, false, true],
    );
    appendFileSync(path, `${flowLine({ id: '3', at: 0 })}\n`);
    tail.read((line) => lines.push(line));
    assert.equal(lines.length, 4);
    tail.close();
  });
});
