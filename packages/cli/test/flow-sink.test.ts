import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseRecord } from '@cofferdam/flows';
import { type FlowSink, openFlowSink, openRotatingSink } from '@cofferdam/gateway';
import { openLogTail } from '../src/flows/log-tail.ts';
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
/** Each in a turn of its own. */
const write = (sink: FlowSink, ids: readonly number[]): void => {
  for (const id of ids) {
    sink.write(record(id));
    sink.lost();
  }
};
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
    const lost = sink.lost();
    sink.close();
    assert.ok(statSync(path).size <= bound);
    const written = idsIn(path);
    assert.deepEqual(written, from(1, written.length));
    assert.deepEqual(lost, { count: 14 - written.length, because: `the log of a run ends at ${bound} bytes` });
  });
});

describe('a file that rotates', () => {
  const written = (path: string, ...ids: readonly number[]) => {
    const sink = openRotatingSink(path, bound);
    after(sink.close);
    write(sink, ids);
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
    for (const id of from(1, 200)) write(id % 2 === 0 ? a : b, [id]);
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
    write(sink, from(6, 12));
    assert.deepEqual([...idsIn(`${path}.yesterday`), ...read(path)], from(1, 12));
    truncateSync(path, 0);
    write(sink, from(13, 20));
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
    write(sink, from(6, 30));
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
    write(sink, from(6, 40));
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

describe('records that come together', () => {
  const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

  test('are in the file at the end of the turn, or as soon as they are many', async () => {
    const path = place();
    const sink = openFlowSink(path, 1e9);
    for (const id of from(1, 20)) sink.write(record(id));
    await turn();
    assert.deepEqual(idsIn(path), from(1, 20));
    for (const id of from(21, 1000)) sink.write(record(id));
    assert.ok(idsIn(path).length > 900, 'no more wait than a buffer holds');
    await turn();
    assert.deepEqual(idsIn(path), from(1, 1000));
    sink.close();
  });

  test('are in the file when it is closed, and nothing comes after', async () => {
    const path = place();
    const sink = openFlowSink(path, 1e9);
    for (const id of from(1, 20)) sink.write(record(id));
    sink.close();
    sink.write(record(21));
    await turn();
    assert.deepEqual(idsIn(path), from(1, 20));
  });

  test('rotate as if each came alone: the newest are kept in files of the bound, and none is lost between them', () => {
    const path = place();
    const most = 200 * bytes;
    const sink = openRotatingSink(path, most);
    for (const id of from(1, 3000)) sink.write(record(id));
    sink.close();
    const [older, newer] = [idsIn(`${path}.1`), idsIn(path)];
    assert.deepEqual([...older, ...newer], from(older[0]!, 3000));
    assert.ok(older.length >= 190, `${older.length} records in the older file`);
    for (const one of [path, `${path}.1`]) assert.ok(statSync(one).size <= most);
  });

  test('fill a file that ends to its end', () => {
    const path = place();
    const sink = openFlowSink(path, 200 * bytes + 5);
    for (const id of from(1, 300)) sink.write(record(id));
    assert.equal(sink.lost().count, 100);
    sink.close();
    assert.deepEqual(idsIn(path), from(1, 200));
  });
});

/** The text of a program that has a sink, and a record to write to it. */
const programOf = (open: 'openFlowSink' | 'openRotatingSink', path: string, ...lines: readonly string[]): string =>
  [
    `import { ${open} } from ${JSON.stringify(new URL('../../gateway/src/flow-sink.ts', import.meta.url).href)};`,
    `import { parseRecord } from ${JSON.stringify(import.meta.resolve('@cofferdam/flows'))};`,
    `const sink = ${open}(${JSON.stringify(path)}, 1e9);`,
    `const record = parseRecord(${JSON.stringify(flowLine({ id: '1', at: 0 }))}).value;`,
    ...lines,
  ].join('\n');

test('two that write to one pipe do not write into each other’s lines', async () => {
  const path = place();
  execFileSync('mkfifo', [path]);
  // So that it has an end for as long as somebody may write.
  const held = openSync(path, 'r+');
  const reader = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = reader.stdout.setEncoding('utf8').toArray();
  const script = programOf(
    'openRotatingSink',
    path,
    `await new Promise((done) => setTimeout(done, ${Date.now() + 1000} - Date.now()));`,
    'for (let i = 0; i < 5000; i++) sink.write(record);',
  );
  const writer = () => spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  const writers = [writer(), writer()];
  await Promise.all(writers.map((one) => once(one, 'exit')));
  closeSync(held);
  const read = (await lines).join('').split('\n').slice(0, -1);
  assert.equal(read.length, 10_000);
  assert.ok(read.every((line) => parseRecord(line).ok));
});

describe('a process that ends', () => {
  /** Writes 50 records in one turn, and ends in it. */
  const ended = (end: string) => {
    const path = place();
    const script = programOf(
      'openFlowSink',
      path,
      `process.on('SIGTERM', () => process.exit(143));`,
      'await new Promise((done) => setTimeout(done, 10));',
      'for (let i = 0; i < 50; i++) sink.write(record);',
      end,
    );
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 60_000 });
    return { path, code: done.status };
  };

  for (const [how, end, code] of [
    ['on its own', '', 0],
    ['where it says so', 'process.exit(3);', 3],
    ['by an error that nobody caught', `throw new Error('mine');`, 1],
    ['by a promise that nobody saw fail', `Promise.reject(new Error('mine'));`, 1],
    ['by a signal', `process.kill(process.pid, 'SIGTERM');`, 143],
  ] as const)
    test(`leaves all its records: ${how}`, () => {
      const { path, code: found } = ended(end);
      assert.equal(found, code);
      assert.equal(idsIn(path).length, 50);
    });
});

describe('a disk that is full', () => {
  test('costs records, each counted once', () => {
    const sink = openRotatingSink('/dev/full', 1e9);
    for (const id of from(1, 300)) sink.write(record(id));
    const { count, because } = sink.lost();
    assert.equal(count, 300);
    assert.match(because, /ENOSPC/);
    sink.close();
  });

  test('costs what it cut and what came after, and what comes when there is room again is on lines of its own', () => {
    const path = place();
    // A limit of the size of files stands for the disk: at it, writes are cut and then fail.
    const script = programOf(
      'openFlowSink',
      path,
      `import { execFileSync } from 'node:child_process';`,
      `const limit = (size) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + size + ':']);`,
      'limit(20_001);',
      'for (let i = 0; i < 100; i++) sink.write(record);',
      'const before = sink.lost();',
      `limit('unlimited');`,
      'for (let i = 0; i < 10; i++) sink.write(record);',
      'console.log(JSON.stringify([before, sink.lost()]));',
    );
    const ignoring = ['-c', `trap '' XFSZ; exec "$@"`, 'sh', process.execPath, '--input-type=module', '-e', script];
    const done = spawnSync('sh', ignoring, { encoding: 'utf8', timeout: 60_000 });
    const [before, later] = JSON.parse(done.stdout) as { count: number; because: string }[];
    const good = readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => parseRecord(line).ok);
    const whole = good.indexOf(false);
    assert.ok(whole > 10, 'what fitted is there');
    assert.deepEqual(
      good.slice(whole),
      [false, ...Array.from({ length: 10 }, () => true)],
      'half a line, and ten more',
    );
    assert.deepEqual([before!.count, later!.count], [100 - whole, 100 - whole]);
    assert.match(before!.because, /EFBIG/);
  });
});

describe('a reader', () => {
  test('loses nothing while the file rotates under it, however seldom it looks', () => {
    const path = place();
    const sink = openRotatingSink(path, bound);
    write(sink, [1]);
    const tail = openLogTail(path);
    const ids: number[] = [];
    for (const id of from(2, 300)) {
      write(sink, [id]);
      // Seldom enough to meet every place between two rotations, often enough to miss none.
      if (id % 7 === 0) tail.read((line) => ids.push(Number(JSON.parse(line).id)));
    }
    tail.read((line) => ids.push(Number(JSON.parse(line).id)));
    assert.deepEqual(ids, from(1, 300));
    tail.close();
    sink.close();
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
