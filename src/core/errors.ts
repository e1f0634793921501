/** @file Error classes. An error is data: where it happened, what is wrong with both values, and one fix. */
import { printableLine } from './printable.ts';

export interface ErrorDetails {
  /** The function, module path, file or flag concerned, as the user would name it. */
  readonly where: string;
  /** What is wrong, with both values. */
  readonly problem: string;
  /** Further lines shown below the problem, as aligned `[label, text]` pairs. */
  readonly facts?: readonly (readonly [label: string, text: string])[];
  /** One thing that puts it right. */
  readonly fix?: string;
  /** The user has named a path that does not exist, which is wrong usage as an option is that cannot work. */
  readonly absent?: boolean;
  readonly cause?: unknown;
}

/** Base of every error that udit raises on purpose; its message is meant for the user. */
export abstract class UditError extends Error {
  readonly where: string;
  readonly problem: string;
  readonly facts: readonly (readonly [label: string, text: string])[];
  readonly fix: string | undefined;
  readonly absent: boolean;

  constructor(name: string, details: ErrorDetails) {
    super(formatMessage(name, details), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = name;
    this.where = details.where;
    this.problem = details.problem;
    this.facts = details.facts ?? [];
    this.fix = details.fix;
    this.absent = details.absent ?? false;
  }

  /** The message begins with the name already. */
  override toString(): string {
    return this.message;
  }
}

/** Axes or sizes that do not fit each other. */
export class ShapeError extends UditError {
  constructor(details: ErrorDetails) {
    super('ShapeError', details);
  }
}

/** Element types that do not fit each other. */
export class DTypeError extends UditError {
  constructor(details: ErrorDetails) {
    super('DTypeError', details);
  }
}

/** A model, training or command-line option that cannot work. */
export class ConfigError extends UditError {
  constructor(details: ErrorDetails) {
    super('ConfigError', details);
  }
}

/** A checkpoint that cannot be read, written or fitted to a model. */
export class CheckpointError extends UditError {
  constructor(details: ErrorDetails) {
    super('CheckpointError', details);
  }
}

/** Training or evaluation data that is missing or unreadable. */
export class DataError extends UditError {
  constructor(details: ErrorDetails) {
    super('DataError', details);
  }
}

/** Published weights that cannot be fetched, or are not what was published. */
export class DownloadError extends UditError {
  constructor(details: ErrorDetails) {
    super('DownloadError', details);
  }
}

/** An execution backend or device that is not there. */
export class RuntimeUnavailableError extends UditError {
  constructor(details: ErrorDetails) {
    super('RuntimeUnavailableError', details);
  }
}

/** A number that is not finite where only finite numbers make sense. */
export class NumericsError extends UditError {
  constructor(details: ErrorDetails) {
    super('NumericsError', details);
  }
}

function formatMessage(name: string, { where, problem, facts = [], fix }: ErrorDetails): string {
  const labelWidth = Math.max(0, ...facts.map(([label]) => label.length));
  const lines = [`${name}: ${where}: ${problem}`];
  for (const [label, text] of facts) lines.push(`  ${label.padEnd(labelWidth)}  ${text}`);
  if (fix !== undefined) lines.push(`  fix: ${fix}`);
  return lines.map(printableLine).join('\n');
}
