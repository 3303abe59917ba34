/** Breaks a paragraph into lines of at most `width` columns; a longer word stands alone. */
export const wrap = (text: string, width: number): readonly string[] => {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push(line);
  return lines;
};

/** A paragraph with every line behind `margin`. */
export const paragraph = (text: string, width: number, margin = ''): string =>
  wrap(text, Math.max(20, width - margin.length))
    .map((line) => `${margin}${line}\n`)
    .join('');

/** Text with every line behind `margin`; empty lines stay empty. */
export const indent = (text: string, margin: string): string => text.replace(/^(?=.)/gm, margin);

/** Two columns: terms, and what they mean, wrapped. A long term has its meaning on the next line. */
export const definitions = (rows: readonly (readonly [term: string, meaning: string])[], width: number): string => {
  const widest = Math.min(30, Math.max(0, ...rows.map(([term]) => term.length)));
  const margin = ' '.repeat(widest + 4);
  return rows
    .map(([term, meaning]) => {
      const body = paragraph(meaning, width, margin) || '\n';
      return term.length > widest ? `  ${term}\n${body}` : `  ${term.padEnd(widest)}  ${body.slice(margin.length)}`;
    })
    .join('');
};

/** `1 rule`, `2 rules`. */
export const counted = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`;
