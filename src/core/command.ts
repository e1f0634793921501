/** @file Commands as a person can type them, in messages and in files. */

/**
 * `npx udit sample "my run" --count 8`, which works in a clone and where the package is installed.
 *
 * @param words - of the command line, one by one; those that a shell would take apart are put in quotes
 */
export function uditCommand(...words: readonly string[]): string {
  return ['npx', 'udit', ...words.map(quoted)].join(' ');
}

/** A word in a command that can be typed: in quotes where a shell needs them. */
export function quoted(word: string): string {
  if (/^[\w./:=,+@%-]+$/.test(word)) return word;
  // Shells replace what these mean even between double quotes.
  return /["$`!]/.test(word) ? `'${word.replaceAll("'", "'\\''")}'` : `"${word}"`;
}
