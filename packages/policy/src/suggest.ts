/** Edits (insert, delete, replace, swap neighbours) between two texts, or `limit + 1` where there are more than `limit`. */
export const editDistance = (a: string, b: string, limit: number): number => {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: readonly number[] = [];
  let row: readonly number[] = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    let smallest = i;
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1]! + (a.charCodeAt(i - 1) === b.charCodeAt(j - 1) ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : replace;
      const value = Math.min(replace, swapped, row[j]! + 1, next[j - 1]! + 1);
      next.push(value);
      if (value < smallest) smallest = value;
    }
    if (smallest > limit) return limit + 1;
    before = row;
    row = next;
  }
  return Math.min(row[b.length]!, limit + 1);
};

/** The candidate nearest to what was written, if one is near enough to have been meant. Ties go to the first. */
export const nearest = (written: string, candidates: Iterable<string>): string | undefined => {
  const asked = written.slice(0, 80).toLowerCase();
  let limit = Math.max(1, Math.min(3, Math.floor((asked.length + 2) / 3)));
  let best: string | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(asked, candidate.toLowerCase(), limit);
    if (distance > limit || (best !== undefined && distance === limit)) continue;
    best = candidate;
    limit = distance;
    if (distance === 0) break;
  }
  return best;
};

/** `a`, `b` or `c`, in backticks; long lists are cut. */
export const listed = (words: readonly string[], shown = 12): string => {
  const quoted = words.slice(0, shown).map((word) => `\`${word}\``);
  if (words.length > shown) return `${quoted.join(', ')} and ${words.length - shown} more`;
  return quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
};

/** A help line: the nearest candidate, else all that would be accepted. */
export const suggestion = (written: string, candidates: readonly string[]): string => {
  const near = nearest(written, candidates);
  if (near !== undefined) return `did you mean \`${near}\`?`;
  return candidates.length > 0 ? `accepted: ${listed(candidates)}` : 'nothing is accepted here';
};
