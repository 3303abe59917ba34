/** What the documents show is so: policies are valid, commands and options exist, links lead somewhere, copies are fresh. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { type Command, loadCommand, loadCommands } from '@cofferdam/cli';
import { formatDiagnostics, parsePolicy } from '@cofferdam/policy';
import { documents, generated, root } from './generate-docs.ts';
import { copies } from './generate-reasons.ts';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Block {
  readonly document: string;
  /** Of its first line, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
  /** The line above the block. */
  readonly above: string;
}

const blocksOf = (document: string): readonly Block[] => {
  const text = read(document);
  return [...text.matchAll(/^( *)```(\w*)\n([\s\S]*?)^ *```$/gm)].map(({ index, 1: margin, 2: language, 3: body }) => {
    const before = text.slice(0, index).split('\n');
    const dedented = body!.replaceAll(new RegExp(`^${margin}`, 'gm'), '');
    return { document, line: before.length + 1, language: language!, text: dedented, above: before.at(-2) ?? '' };
  });
};

const blocks = documents().flatMap(blocksOf);
const place = ({ document, line }: { document: string; line: number }): string => `${document}:${line}`;

describe('policies', () => {
  const shown = blocks.filter(({ language, text }) => language === 'yaml' && text.includes('apiVersion:'));
  test('there are some', () => assert.ok(shown.length > 5));
  for (const block of shown) {
    test(`${place(block)} is valid and draws no warning`, () => {
      const sources = [{ file: place(block), text: block.text }];
      const { policy, diagnostics } = parsePolicy(sources, { now: Date.UTC(2026, 0, 1) });
      assert.equal(formatDiagnostics(diagnostics, { format: 'text' }), '');
      assert.ok(policy);
    });
  }

  for (const block of shown.filter(({ above }) => above.startsWith('<!-- from '))) {
    const [, file] = /^<!-- from (\S+) -->$/.exec(block.above) ?? [];
    test(`${place(block)} is an extract of ${file}`, () => {
      const bare = (text: string): readonly string[] =>
        text.split('\n').flatMap((line) => line.replace(/(^| +)#.*$/, '').trimEnd() || []);
      const original = bare(read(file!));
      let at = 0;
      for (const line of bare(block.text)) {
        const found = original.indexOf(line, at);
        assert.notEqual(found, -1, `\`${line}\` is not there, or not in this order`);
        at = found + 1;
      }
    });
  }
});

interface Shown {
  readonly where: string;
  readonly command: string;
  readonly words: readonly string[];
}

/** Command lines of ours in blocks and in inline code. What is written in capitals or with `…` stands for something. */
const commandLines = (document: string): readonly Shown[] => {
  const text = read(document);
  const inline = [...text.matchAll(/`([^`\n]+)`/g)].map(({ index, 1: code }) => ({ index, code: code! }));
  const lines = [...text.matchAll(/^ *(?:\$ )?((?:sudo )?(?:\.\/)?cofferdam .*)$/gm)].map(({ index, 1: code }) => ({
    index,
    code: code!,
  }));
  return [...inline, ...lines].flatMap(({ index, code }) => {
    const [, command, rest] =
      /^(?:sudo (?:--\S+ )*)?(?:\.\/)?cofferdam ([a-z]+)(?: (.*))?$/.exec(code.replace(/ +#.*$/, '')) ?? [];
    if (command === undefined) return [];
    const [words = ''] = (rest ?? '').split(/(?:^| )(?:--(?= |$)|[|>])/, 1);
    const where = place({ document, line: text.slice(0, index).split('\n').length });
    return [{ where, command, words: words.split(' ').filter((word) => word !== '' && word !== '…') }];
  });
};

const checkWords = (command: Command, words: readonly string[]): void => {
  const options = { ...command.options, help: { kind: 'flag', short: 'h', summary: '' } } as Command['options'];
  for (const [i, word] of words.entries()) {
    if (!word.startsWith('-')) continue;
    const name = word.startsWith('--')
      ? word.slice(2).split('=')[0]!
      : Object.keys(options).find((each) => options[each]!.short === word.slice(1));
    const option = name === undefined ? undefined : options[name];
    assert.ok(option, `\`${command.name}\` has no option \`${word}\``);
    if (option.kind === 'flag') continue;
    const value = word.split('=')[1] ?? words[i + 1];
    assert.ok(value !== undefined, `\`${word}\` needs a value`);
    const isSymbol = /^[A-Z|]+$/.test(value);
    if (!isSymbol && option.choices)
      assert.ok(option.choices.includes(value), `\`${word}\` does not take \`${value}\``);
  }
};

describe('command lines', () => {
  const shown = documents().flatMap(commandLines);
  test('there are some', () => assert.ok(shown.length > 10));
  for (const { where, command, words } of shown) {
    test(`${where}: cofferdam ${[command, ...words].join(' ')}`, async () => {
      const found = await loadCommand(command);
      assert.ok(found, `there is no command \`${command}\``);
      checkWords(found, words);
      const [topic] = words;
      if (command !== 'help' || topic === undefined || /^[A-Z[]/.test(topic)) return;
      const done = spawnSync(process.execPath, [join(root, 'packages/cli/src/main.ts'), 'help', topic]);
      assert.equal(done.status, 0, `\`help\` does not know \`${topic}\``);
    });
  }

  test('the readme lists every command', async () => {
    const listed = [...read('README.md').matchAll(/^\| `cofferdam ([a-z]+)/gm)].map(([, name]) => name);
    const names = (await loadCommands()).map(({ name }) => name);
    assert.deepEqual(listed.sort(), names.sort());
  });

  test('every target of make that is shown is there', () => {
    const targets = new Set([...read('Makefile').matchAll(/^([a-z]+):/gm)].map(([, name]) => name));
    const asked = documents().flatMap((document) => [...read(document).matchAll(/^make ([a-z]+)|`make ([a-z]+)`/gm)]);
    assert.deepEqual(
      asked.map(([, line, inline]) => line ?? inline).filter((name) => !targets.has(name)),
      [],
    );
  });
});

/** As repository hosts make anchors of headings. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

describe('links', () => {
  for (const document of documents()) {
    test(`those of ${document} lead somewhere`, () => {
      const broken: string[] = [];
      for (const [, target] of read(document).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target!)) continue;
        const [path = '', anchor] = target!.split('#');
        const file = path === '' ? document : join(dirname(document), path);
        if (!existsSync(join(root, file))) broken.push(target!);
        else if (anchor !== undefined) {
          const headings = [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
          if (!headings.includes(anchor)) broken.push(target!);
        }
      }
      assert.deepEqual(broken, []);
    });
  }

  test('every document is reached from the readme', () => {
    const reached = new Set<string>();
    const visit = (document: string): void => {
      if (reached.has(document) || !document.endsWith('.md')) return;
      reached.add(document);
      for (const [, target] of read(document).matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)) {
        const path = join(dirname(document), target!);
        // A folder stands for what is in it.
        for (const file of path.endsWith('.md') ? [path] : globSync(`${path}/*.md`, { cwd: root })) visit(file);
      }
    };
    visit('README.md');
    assert.deepEqual(
      documents().filter((document) => !reached.has(document)),
      [],
    );
  });
});

describe('copies', () => {
  for (const { file, text } of copies)
    test(`${file} is fresh`, () => assert.equal(read(file), text(), 'run `node tools/generate-reasons.ts`'));
  for (const document of documents())
    test(`the generated parts of ${document} are fresh`, () =>
      assert.equal(read(document), generated(read(document)), 'run `node tools/generate-docs.ts`'));
});

test('the map of the architecture names every package', () => {
  const [, map = ''] = /\npackages\/\n((?: {2}\S.*\n)+)/.exec(read('ARCHITECTURE.md')) ?? [];
  const named = [...map.matchAll(/^ {2}(\S+)/gm)].map(([, name]) => name);
  const there = globSync('packages/*/package.json', { cwd: root }).map((path) => path.split('/')[1]);
  assert.deepEqual(named.sort(), there.sort());
});
