/** How the parts of the demo print what they do. */
const color = process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === '';

export const paint = (code: number, text: string): string => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
export const bold = (text: string): string => paint(1, text);
export const dim = (text: string): string => paint(2, text);
export const right = (text: string): string => paint(32, `✔ ${text}`);
export const wrong = (text: string): string => paint(31, `✘ ${text}`);

export const indent = (text: string, by: string): string =>
  text
    .trim()
    .split('\n')
    .map((line) => `${by}${line}`)
    .join('\n');
