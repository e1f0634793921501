/** @file Text that comes from files and users, on its way to a terminal. */

/** Control characters, which could clear the screen or hide a line, as `\x1b`; line feeds stay. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n]|[\u202a-\u202e\u2066-\u2069]/gu, written);
}

/** The same without line feeds, so that a name cannot forge a line of its own. */
export function printableLine(text: string): string {
  return printable(text).replace(/[\n\u2028\u2029]/g, written);
}

/** `\x1b`, or beyond a byte as JSON has it; among these are the marks that turn the order of a line around. */
function written(char: string): string {
  const code = char.charCodeAt(0).toString(16);
  return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
}
