/** Counts what the test runner reports, for one file and for all. */
export interface Report {
  readonly name: string;
  readonly skip?: string | boolean | undefined;
  readonly todo?: string | boolean | undefined;
  readonly details: { readonly type?: string | undefined; readonly error?: unknown };
}

export interface FileOutcome {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skips: readonly { readonly test: string; readonly reason: string }[];
  readonly failures: readonly { readonly test: string; readonly error: unknown }[];
  readonly milliseconds: number;
  /** What the file's process wrote, its last part where it is long. */
  readonly output: string;
}

const keptOutput = 64 * 1024;

export class FileTally {
  readonly #file: string;
  readonly #path: string;
  readonly #skips: { test: string; reason: string }[] = [];
  readonly #failures: { test: string; error: unknown }[] = [];
  #passed = 0;
  #output = '';

  /** @param path what the runner calls the file: where a file fails as a whole, or holds no test, it is the test's name */
  constructor(file: string, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /**
   * A skipped suite is one skipped test, for what is in it is not even registered. A suite (or a parent test) that fails
   * only because something in it did is not counted again; one whose hook fails is. A test marked as to be done fails.
   */
  count(passed: boolean, { name, skip, todo, details }: Report): void {
    const error = details.error as { readonly failureType?: string; readonly cause?: unknown } | undefined;
    if (isSet(skip)) {
      this.#skips.push({ test: name, reason: typeof skip === 'string' && skip !== '' ? skip : 'no reason given' });
    } else if (isSet(todo)) {
      this.#fail(name, 'is marked as to be done');
    } else if (!passed) {
      if (error?.failureType === 'testAborted') this.#fail(name, 'ran longer than a file may, and was ended');
      else if (error?.failureType !== 'subtestsFailed') this.#fail(name, error?.cause ?? error);
    } else if (name === this.#path) {
      this.#fail(name, 'holds no test');
    } else if (details.type !== 'suite') {
      this.#passed += 1;
    }
  }

  keepOutput(text: string): void {
    this.#output = (this.#output + text).slice(-keptOutput);
  }

  outcome(milliseconds: number): FileOutcome {
    const counts = { passed: this.#passed, failed: this.#failures.length };
    return {
      file: this.#file,
      ...counts,
      skips: this.#skips,
      failures: this.#failures,
      milliseconds,
      output: this.#output,
    };
  }

  #fail(name: string, error: unknown): void {
    this.#failures.push({ test: name === this.#path ? 'the file as a whole' : name, error });
  }
}

export class Totals {
  passed = 0;
  failed = 0;
  skipped = 0;
  /** Names of skipped tests by the reason they give. */
  readonly reasons = new Map<string, string[]>();

  add({ passed, failed, skips }: FileOutcome): void {
    this.passed += passed;
    this.failed += failed;
    this.skipped += skips.length;
    for (const { test, reason } of skips) this.reasons.set(reason, [...(this.reasons.get(reason) ?? []), test]);
  }
}

/** The runner says `true`, or the reason, or an empty reason. */
const isSet = (mark: string | boolean | undefined): boolean => mark !== undefined && mark !== false;
