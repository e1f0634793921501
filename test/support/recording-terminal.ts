/** @file A terminal that keeps what is printed. */
import type { Terminal } from '../../src/cli/terminal.ts';

export interface RecordingTerminal extends Terminal {
  readonly printed: { out: string; err: string };
}

export function recordingTerminal(): RecordingTerminal {
  const printed = { out: '', err: '' };
  const stream = (name: 'out' | 'err') => ({
    write(text: string) {
      printed[name] += text;
    },
  });
  return { printed, out: stream('out'), err: stream('err') };
}
