/** @file Arrays are read as tensors of checkpoints are; their faults are those of data. */
import { CheckpointError, DataError } from '../core/errors.ts';

/** @throws DataError where `read` throws a CheckpointError */
export function ofData<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const { where, problem, fix, absent } = error;
    throw new DataError({ where, problem, ...(fix === undefined ? {} : { fix }), absent, cause: error });
  }
}
