/** @file Doing something as a user for whom the permissions of files count. */

/** Of `nobody`, on most systems; any user but root and the owner of the files would do. */
const NOBODY = 65534;

/** Are there such permissions here at all? */
export const HAS_PERMISSIONS = process.geteuid !== undefined;

/** Runs `action` as it is, or for root, who may read everything, as another user. Folders above must be open to all. */
export async function asOrdinaryUser<T>(action: () => Promise<T>): Promise<T> {
  if (process.geteuid!() !== 0) return action();
  process.seteuid!(NOBODY);
  try {
    return await action();
  } finally {
    process.seteuid!(0);
  }
}
