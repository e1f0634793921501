/** @file Names of files for drawings: their ending says which formats are written. */
import { basename, extname } from 'node:path';
import { ConfigError } from '../core/errors.ts';

const FORMATS = ['.svg', '.png'] as const;
type DrawingFormat = (typeof FORMATS)[number];

/**
 * Both formats where the name says nothing.
 *
 * @param flag - that the name was given with
 * @throws ConfigError for an ending that is neither
 */
export function drawingFormats(flag: string, file: string): readonly DrawingFormat[] {
  const extension = extname(file);
  const format = FORMATS.find((known) => known === extension);
  if (format !== undefined) return [format];
  if (extension === '') return FORMATS;
  throw new ConfigError({
    where: flag,
    problem: `"${basename(file)}" ends in ${extension}`,
    fix: 'use a name that ends in .svg or .png, or in neither for both',
  });
}

/**
 * @param flag - that the name was given with
 * @throws ConfigError for an ending of another format than PNG
 */
export function expectPng(flag: string, file: string): void {
  const extension = extname(file);
  if (extension === '' || extension.toLowerCase() === '.png') return;
  throw new ConfigError({
    where: flag,
    problem: `"${basename(file)}" ends in ${extension}, but a PNG file is written`,
    fix: 'use a name that ends in .png',
  });
}

/** The files that are written for a name. */
export function drawingPaths(file: string, formats: readonly DrawingFormat[]): string[] {
  return formats.map((format) => stemOf(file) + format);
}

/** The name without the ending of a drawing. */
export function stemOf(file: string): string {
  return file.replace(/\.(svg|png)$/, '');
}
