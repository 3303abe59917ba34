/** Reads the imports of source files and says which of them cross a fence. */
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path/posix';
import { type Fence, testsOnly } from './fences.ts';

export interface PackageDescription {
  /** Without the scope. */
  readonly name: string;
  /** Keys of the exports map: `.`, `./lab`. */
  readonly doors: readonly string[];
  /** Names from the registry that package.json declares. */
  readonly dependencies: readonly string[];
}

export interface SourceFile {
  /** From the root of the checkout. */
  readonly path: string;
  readonly text: string;
}

const statement =
  /^\s*(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

/** What a file imports. Biome puts every static import at the start of a line, so no parser is needed. */
export function importsOf(text: string): readonly string[] {
  return [...text.matchAll(statement)].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

/** One line for each import that crosses a fence, with the reason the fence is there. */
export function crossings(
  file: SourceFile,
  packages: ReadonlyMap<string, PackageDescription>,
  fences: Readonly<Record<string, Fence>>,
): readonly string[] {
  return importsOf(file.text).flatMap((target) => {
    const complaint = crossing(file.path, target, packages, fences);
    return complaint === undefined ? [] : [`${file.path} imports \`${target}\`: ${complaint}`];
  });
}

function crossing(
  path: string,
  target: string,
  packages: ReadonlyMap<string, PackageDescription>,
  fences: Readonly<Record<string, Fence>>,
): string | undefined {
  const [, name, folder] = /^packages\/([^/]+)\/(src|test)\//.exec(path) ?? [];
  const own = name === undefined ? undefined : packages.get(name);
  const fence = name === undefined ? undefined : fences[name];
  if (name !== undefined && fence === undefined) return 'its package has no fence in tools/fences.ts';

  if (target.startsWith('.')) {
    const home = name === undefined ? '' : `packages/${name}`;
    const reached = join(dirname(path), target);
    if (name === undefined && reached.startsWith('packages/')) return 'a package is entered by its exports map only';
    if (relative(home, reached).startsWith('..')) return 'a package is entered by its exports map only';
    if (folder === 'src' && reached.startsWith(`${home}/test/`)) return 'what is shipped does not rest on tests';
    return undefined;
  }

  const ours = /^@cofferdam\/([^/]+)(\/.*)?$/.exec(target);
  if (ours !== null) {
    const [, imported = '', rest = ''] = ours;
    const door = packages.get(imported);
    if (door === undefined) return 'there is no such package';
    if (!door.doors.includes(`.${rest}`)) return `the exports map of ${imported} has no \`.${rest}\``;
    if (folder !== 'src') return undefined;
    if (imported === testsOnly) return 'only tests import it';
    if (fence!.may.includes('*') || fence!.may.includes(imported)) return undefined;
    return `${name} does not import ${imported}, because ${fence!.because}`;
  }

  if (target.startsWith('node:') || builtinModules.includes(target)) {
    if (!target.startsWith('node:')) return 'Node modules are written with `node:`';
    return folder !== 'src' || fence!.node ? undefined : `${name} touches no Node module, because ${fence!.because}`;
  }

  const registered = /^(@[^/]+\/[^/]+|[^/]+)/.exec(target)![1]!;
  if (folder === 'src' && !own?.dependencies.includes(registered)) return `package.json of ${name} does not declare it`;
  return undefined;
}
