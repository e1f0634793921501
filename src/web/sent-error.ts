/** @file Errors as plain data, since a message between threads keeps no classes. */
import * as errors from '../core/errors.ts';

export interface SentError {
  readonly name: string;
  readonly details: errors.ErrorDetails;
}

const CLASSES: Readonly<Record<string, new (details: errors.ErrorDetails) => errors.UditError>> = {
  ShapeError: errors.ShapeError,
  DTypeError: errors.DTypeError,
  ConfigError: errors.ConfigError,
  CheckpointError: errors.CheckpointError,
  DataError: errors.DataError,
  DownloadError: errors.DownloadError,
  RuntimeUnavailableError: errors.RuntimeUnavailableError,
  NumericsError: errors.NumericsError,
};

export function toSentError(error: unknown): SentError {
  if (error instanceof errors.UditError) {
    const { name, where, problem, facts, fix } = error;
    return { name, details: { where, problem, facts, ...(fix === undefined ? {} : { fix }) } };
  }
  return { name: 'Error', details: { where: 'sampling worker', problem: String(error) } };
}

export function fromSentError({ name, details }: SentError): Error {
  const Class = CLASSES[name];
  return Class === undefined ? new Error(`${details.where}: ${details.problem}`) : new Class(details);
}
