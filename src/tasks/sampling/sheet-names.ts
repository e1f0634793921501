/** @file The sheets that are drawn into a folder, beside its pictures or alone. */

export const GRID_FILE = 'grid.png';
export const PREVIEWS_FILE = 'previews.png';
/** Pictures on the way from one to another. */
export const INTERPOLATION_FILE = { sheet: 'interpolation.png', animation: 'interpolation.webp' } as const;
