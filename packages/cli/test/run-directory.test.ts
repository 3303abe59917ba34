import assert from 'node:assert/strict';
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createRunDirectory,
  flowsFile,
  isLiveRun,
  listRuns,
  pruneRuns,
  readRun,
  startTicksOf,
} from '../src/run-directory.ts';
import { workDirectory } from './cofferdam.ts';

const directory = workDirectory();
const ticks = startTicksOf(process.pid)!;
const describe = (run: string, over: { pid?: number; startTicks?: string } = {}) => ({
  run,
  pid: process.pid,
  startTicks: ticks,
  agent: 'desk-agent',
  command: ['curl', 'https://github.com'],
  started: 1000,
  ...over,
});

test('a run is alive while its process is the one that made it', () => {
  const runs = join(directory, 'alive');
  createRunDirectory(describe('0a'), runs);
  createRunDirectory(describe('0b', { startTicks: '1' }), runs);
  createRunDirectory(describe('0c', { pid: 2 ** 22 + 1 }), runs);
  createRunDirectory(describe('0d'), runs);
  writeFileSync(join(runs, '0d/run.json'), '{"run":"0d","pi');
  assert.deepEqual(
    ['0a', '0b', '0c', '0d', '0e'].map((run) => isLiveRun(run, runs)),
    [true, false, false, false, false],
  );
  assert.deepEqual(readRun('0a', runs), describe('0a'));
  const listing = listRuns(runs);
  assert.equal(listing.kind, 'runs');
  assert.deepEqual(listing.kind === 'runs' && listing.runs.map(({ run, live }) => [run, live]), [
    ['0a', true],
    ['0b', false],
    ['0c', false],
    ['0d', false],
  ]);
});

test('no directory: no runs', () => {
  assert.equal(listRuns(join(directory, 'none')).kind, 'absent');
});

test('old ended runs are taken away, live ones never', () => {
  const runs = join(directory, 'many');
  createRunDirectory(describe('ff'), runs);
  utimesSync(flowsFile('ff', runs), 1, 1);
  for (let i = 0; i < 25; i++) {
    const run = i.toString(16).padStart(4, '0');
    createRunDirectory(describe(run, { startTicks: '1' }), runs);
    utimesSync(flowsFile(run, runs), 1000 + i, 1000 + i);
  }
  mkdirSync(join(runs, 'beef'));
  pruneRuns(runs);
  assert.ok(existsSync(join(runs, 'beef')), 'one that is just beginning');
  assert.ok(existsSync(flowsFile('ff', runs)));
  assert.ok(!existsSync(flowsFile('0005', runs)));
  assert.ok(existsSync(flowsFile('0006', runs)));
  assert.ok(existsSync(flowsFile('0018', runs)));
});
