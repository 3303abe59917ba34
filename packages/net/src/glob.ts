/**
 * Text in which `*` stands for zero or more characters: what lies between the stars, in order. One piece: no star. A glob of nothing
 * but a star (two empty pieces) takes one or more characters.
 */
export type Glob = readonly string[];

export const parseGlob = (text: string): Glob => text.split('*');

/**
 * Leftmost placement of each piece in turn, without going back: once the ends are anchored the first place of a middle piece
 * leaves most room for the next. Work is bounded by the product of two lengths, whatever the number of stars.
 */
export function globMatches(glob: Glob, text: string): boolean {
  const first = glob[0]!;
  if (glob.length === 1) return text === first;
  const last = glob.at(-1)!;
  if (glob.length === 2 && first === '' && last === '') return text !== '';
  const end = text.length - last.length;
  if (first.length > end || !text.startsWith(first) || !text.endsWith(last)) return false;
  let from = first.length;
  for (let i = 1; i < glob.length - 1; i++) {
    const piece = glob[i]!;
    const at = text.indexOf(piece, from);
    if (at < 0 || at + piece.length > end) return false;
    from = at + piece.length;
  }
  return true;
}
