/** @file Text that comes from files and users, on its way to a terminal. */

/** Control characters, which could clear the screen or hide a line, as `\x1b`; line feeds stay. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n]/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** A path in a command that can be typed: in quotes where a shell needs them. */
export function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `"${path}"`;
}
