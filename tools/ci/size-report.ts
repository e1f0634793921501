/** @file `npm run size`: prints the size of the sources and fails where a file is too long. */
import { readSourceFiles, reportSize } from './source-size.ts';

const { text, tooLong } = reportSize(await readSourceFiles(process.cwd()));
console.log(text);
process.exitCode = tooLong.length === 0 ? 0 : 1;
