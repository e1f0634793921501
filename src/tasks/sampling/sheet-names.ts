/** @file The sheets that are drawn beside the pictures of a folder. */

export const GRID_FILE = 'grid.png';
export const PREVIEWS_FILE = 'previews.png';
