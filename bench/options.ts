/** @file The flags of `npm run bench`. */
import { parseArgs } from 'node:util';
import { ConfigError } from '../src/core/errors.ts';

export const TASKS = ['forward', 'train'] as const;
export type Task = (typeof TASKS)[number];

export interface BenchOptions {
  readonly tasks: readonly Task[];
  /** A preset of src/models. */
  readonly model: string;
  readonly batch: number;
  readonly threads: number;
  /** Timed iterations of each program, taken in turns. */
  readonly rounds: number;
  /** Also race the peer with its slowest path worked around (training only). */
  readonly tunedPeer: boolean;
  readonly peer: boolean;
  readonly json: boolean;
}

export const USAGE = `Usage: npm run bench -- [options]
  --task forward|train|all  what to time (default: all)
  --model PRESET            default: U-DiT-S
  --batch N                 images per iteration (default: 8)
  --threads N               of each program (default: 1)
  --rounds N                timed iterations, in turns with the peer (default: 5)
  --tuned-peer              train: also race PyTorch without its slow 1x1 depthwise convolutions
  --no-peer                 time this package alone
  --json                    print JSON instead of a table
  --help`;

/**
 * @returns null where help is asked for
 * @throws ConfigError for an unknown flag or a value that cannot be
 */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  const values = parseFlags(args);
  if (values.help) return null;
  return {
    tasks: tasksOf(values.task),
    model: values.model,
    batch: countOf('batch', values.batch),
    threads: countOf('threads', values.threads),
    rounds: countOf('rounds', values.rounds),
    tunedPeer: values['tuned-peer'],
    peer: !values['no-peer'],
    json: values.json,
  };
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        task: { type: 'string', default: 'all' },
        model: { type: 'string', default: 'U-DiT-S' },
        batch: { type: 'string', default: '8' },
        threads: { type: 'string', default: '1' },
        rounds: { type: 'string', default: '5' },
        'tuned-peer': { type: 'boolean', default: false },
        'no-peer': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (cause) {
    const problem = (cause as Error).message.split('. ')[0]!;
    throw new ConfigError({ where: 'bench', problem, fix: 'see npm run bench -- --help', cause });
  }
}

function tasksOf(task: string): readonly Task[] {
  if (task === 'all') return TASKS;
  const known = TASKS.find((name) => name === task);
  if (known !== undefined) return [known];
  throw new ConfigError({
    where: 'bench',
    problem: `there is no task "${task}"`,
    fix: `use one of ${[...TASKS, 'all'].join(', ')}`,
  });
}

function countOf(flag: string, text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new ConfigError({
    where: 'bench',
    problem: `--${flag} is "${text}", not a whole number of at least 1`,
    fix: `give a count, such as --${flag} 4`,
  });
}
