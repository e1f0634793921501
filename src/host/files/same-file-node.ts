/** @file Whether two paths lead to one file or folder. */
import { stat } from 'node:fs/promises';

/** By device and number: also through links, and where capitals make no difference. False where one is not there. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([identityOf(a), identityOf(b)]);
  return first !== undefined && first === second;
}

async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.dev}:${found.ino}`;
}
