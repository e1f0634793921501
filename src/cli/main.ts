/** @file The `udit` command; importing this file runs it. */
import { EXIT_CODES, reportLostResults } from './failures.ts';
import { runCommandLine } from './program.ts';
import { closeLostTerminals, outliveReaders, processTerminal } from './terminal.ts';

const results = outliveReaders(process.stdout, process.stderr);
closeLostTerminals();
const code = await runCommandLine(process.argv.slice(2), processTerminal);
process.exitCode = code;
// Streams fail a while after they were written to.
process.once('exit', () => {
  if (code !== EXIT_CODES.ok || results.lost === undefined) return;
  process.exitCode = reportLostResults(results.lost, processTerminal);
});
