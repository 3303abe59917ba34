/** Edits between two short texts: insert, delete, replace, swap of neighbours. */
const distance = (a: string, b: string): number => {
  let before: readonly number[] = [];
  let row: readonly number[] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : replace;
      next.push(Math.min(replace, swap, row[j]! + 1, next[j - 1]! + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
};

/** The candidate that was probably meant. A beginning counts as near: `comp` means `completion`. */
export const nearest = (written: string, candidates: readonly string[]): string | undefined => {
  const asked = written.slice(0, 64).toLowerCase();
  if (asked === '') return undefined;
  const limit = Math.max(1, Math.min(3, Math.floor((asked.length + 1) / 3)));
  const ranked = candidates
    .map((candidate) => ({ candidate, far: distance(asked, candidate.toLowerCase().slice(0, 64)) }))
    .sort((a, b) => a.far - b.far);
  const best = ranked[0];
  if (best !== undefined && best.far <= limit) return best.candidate;
  const begun = asked.length < 2 ? [] : candidates.filter((candidate) => candidate.startsWith(asked));
  return begun.length === 1 ? begun[0] : undefined;
};

/** `a`, `b` or `c`, in backticks. */
export const listed = (words: readonly string[], word = 'or'): string => {
  const quoted = words.map((each) => `\`${each}\``);
  return quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} ${word} ${quoted.at(-1)}`;
};

/** A help line for a word that is not one of the candidates. */
export const didYouMean = (written: string, candidates: readonly string[], otherwise?: string): string => {
  const near = nearest(written, candidates);
  if (near !== undefined) return `did you mean \`${near}\`?`;
  return otherwise ?? `accepted: ${listed(candidates)}`;
};
