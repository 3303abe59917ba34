import assert from 'node:assert/strict';

/** What the default budget lets one agent say under one suffix within an hour (docs: tunnel budget). */
const budget = { names: 256, bits: 12_000, label: 52 };

const entropy = (text: string): number => {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.values()].reduce((sum, n) => sum - (n / text.length) * Math.log2(n / text.length), 0);
};

/** What was said to the attacker's zone is within the budget, however it was cut into questions. */
export const assertWithinBudget = (asked: readonly string[]): void => {
  const said = [...new Set(asked)]
    .filter((name) => name.endsWith('.attacker.example'))
    .map((name) => name.slice(0, -'.attacker.example'.length));
  assert.ok(said.length <= budget.names, `${said.length} names`);
  for (const text of said) for (const label of text.split('.')) assert.ok(label.length <= budget.label, label);
  const bits = said.reduce((sum, text) => sum + text.length * entropy(text), 0);
  assert.ok(bits <= budget.bits, `${bits} bits`);
};
