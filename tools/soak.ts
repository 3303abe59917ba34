/**
 * The tests that are worth hours: generated networks, the differential tests and the fuzzers with other seeds each time, and a gateway that
 * lives long. Each part has a share of the time and at least one round. What fails is printed with its seed, and the rest goes on.
 *
 * Usage: soak.ts [PART…]; `SOAK_MINUTES` sets how long it takes, default 60, and `COFFERDAM_SEED` where the seeds begin.
 */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

interface Part {
  readonly name: string;
  /** Of the whole time. */
  readonly share: number;
  readonly files: readonly string[];
  /** For a round with this seed, in a part that has so many minutes. */
  readonly env: (seed: number, minutes: number) => Readonly<Record<string, string>>;
  /** A round takes all the time of the part. */
  readonly once?: boolean;
}

const seeded = (more: Readonly<Record<string, string>> = {}) => {
  return (seed: number): Readonly<Record<string, string>> => ({ COFFERDAM_SEED: String(seed), ...more });
};

const parts: readonly Part[] = [
  {
    name: 'generated networks',
    share: 0.4,
    files: ['e2e/random-lab.test.ts'],
    env: seeded({ COFFERDAM_CASES: '100' }),
  },
  {
    name: 'gateway that lives long',
    share: 0.3,
    files: ['e2e/soak-gateway.ts'],
    env: (_seed, minutes) => ({ SOAK_MINUTES: String(minutes) }),
    once: true,
  },
  {
    name: 'kernel against evaluator',
    share: 0.1,
    files: ['e2e/kernel-differential.test.ts'],
    env: seeded({ COFFERDAM_CASES: '20000' }),
  },
  {
    name: 'compiler against evaluator',
    share: 0.08,
    files: ['packages/compiler/test/differential.test.ts', 'packages/compiler/test/epochs.test.ts'],
    env: seeded({ COFFERDAM_RUNS: '5000' }),
  },
  {
    name: 'promotion',
    share: 0.04,
    files: ['packages/replay/test/promotion.test.ts'],
    env: seeded({ COFFERDAM_RUNS: '1200' }),
  },
  {
    name: 'properties and fuzzers',
    share: 0.08,
    files: [
      'e2e/kernel-hello.test.ts',
      'packages/policy/test/evaluate-properties.test.ts',
      'packages/policy/test/schedule.test.ts',
      'packages/plan/test/*.test.ts',
      'packages/flows/test/encodings.test.ts',
      'packages/gateway/test/synthetic-pool.test.ts',
      'packages/wire/test/*fuzz*.test.ts',
    ],
    env: seeded(),
  },
];

const root = resolve(import.meta.dirname, '..');
const minutes = Number(process.env.SOAK_MINUTES ?? 60);
const firstSeed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 30);
if (!(minutes > 0) || !Number.isInteger(firstSeed)) {
  process.stderr.write('SOAK_MINUTES is a number of minutes, COFFERDAM_SEED a whole number\n');
  process.exit(2);
}
const filters = process.argv.slice(2);
const chosen = parts.filter(({ name }) => filters.length === 0 || filters.some((filter) => name.includes(filter)));
const whole = chosen.reduce((sum, { share }) => sum + share, 0);

const mostFailures = 3;

/** Never more than the end of what a round wrote. */
const mostOutput = 200_000;

const round = (part: Part, seed: number, ofPart: number): Promise<{ readonly ok: boolean; readonly text: string }> =>
  new Promise((done) => {
    const child = spawn(process.execPath, ['--test', '--test-reporter=spec', ...part.files], {
      cwd: root,
      env: { ...process.env, ...part.env(seed, ofPart) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (more: string) => {
        text = (text + more).slice(-mostOutput);
      });
    child.on('close', (code) => done({ ok: code === 0, text }));
  });

/** What a test said of itself, and how many ran. */
const said = (text: string): readonly string[] => {
  const lines = text.split('\n').map((line) => line.trim());
  const notes = lines.filter(
    (line) => line.startsWith('ℹ') && !/^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(line),
  );
  return notes.slice(0, 3);
};
const skippedAll = (text: string): boolean => /^ℹ pass 0$/m.test(text);

let failures = 0;
for (const part of chosen) {
  const ofPart = (minutes * part.share) / whole;
  const began = performance.now();
  const taken = (): number => (performance.now() - began) / 60_000;
  let rounds = 0;
  let failed = 0;
  let last: readonly string[] = [];
  do {
    const seed = firstSeed + rounds * 1000;
    const { ok, text } = await round(part, seed, Math.max(ofPart, 1));
    rounds++;
    last = said(text);
    if (ok && !skippedAll(text)) continue;
    failed++;
    const why = ok ? 'ran no test' : 'failed';
    process.stdout.write(`FAIL ${part.name}, seed ${seed}: ${why}\n${text.replaceAll(/^/gm, '    ')}\n`);
    // What fails again and again has been told.
  } while (part.once !== true && taken() < ofPart && failed < mostFailures);
  failures += failed;
  process.stdout.write(
    `${failed > 0 ? 'FAIL' : 'ok  '} ${part.name}: ${rounds} round${rounds === 1 ? '' : 's'}, ${failed} failed (${taken().toFixed(1)} min)\n` +
      last.map((line) => `       ${line}\n`).join(''),
  );
}
process.stdout.write(`\nseeds from ${firstSeed}; ${failures === 0 ? 'nothing failed' : `${failures} rounds failed`}\n`);
process.exitCode = failures === 0 && chosen.length > 0 ? 0 : 1;
