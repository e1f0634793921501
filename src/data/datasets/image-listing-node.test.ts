import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { asOrdinaryUser, HAS_PERMISSIONS } from '../../../test/support/ordinary-user.ts';
import { listImages } from './image-listing-node.ts';

/** Called with each folder whose names have just been read. */
const hook = vi.hoisted(() => ({ afterReading: async (_folder: string): Promise<void> => {} }));
vi.mock('node:fs/promises', async (original) => {
  const actual = await original<typeof import('node:fs/promises')>();
  const readdir = async (folder: string) => {
    const names = await actual.readdir(folder);
    await hook.afterReading(folder);
    return names;
  };
  return { ...actual, readdir };
});

let workFolder: string;
let root: string;
beforeEach(async () => {
  workFolder = await mkdtemp(join(tmpdir(), 'udit-listing-'));
  await chmod(workFolder, 0o755);
  root = join(workFolder, 'my pets');
  for (const className of ['cat', 'dog']) {
    await mkdir(join(root, className, 'more'), { recursive: true });
    await writeFile(join(root, className, '1.png'), '');
    await writeFile(join(root, className, 'more', '2.png'), '');
  }
});
afterEach(async () => {
  hook.afterReading = async () => {};
  await rm(workFolder, { recursive: true });
});

/** The error message with the temporary folder replaced. */
async function messageOf(listing: Promise<unknown>): Promise<string> {
  const error = await listing.then(
    () => expect.fail('no error'),
    (reason: Error) => reason,
  );
  return error.message.replaceAll(workFolder, '');
}

describe.skipIf(!HAS_PERMISSIONS)('a folder that may not be read (needs permissions of POSIX)', () => {
  /** The error when `folder` has this mode. */
  async function messageWithMode(folder: string, mode: number): Promise<string> {
    await chmod(folder, mode);
    try {
      return await asOrdinaryUser(() => messageOf(listImages(root)));
    } finally {
      await chmod(folder, 0o755);
    }
  }

  it('is named: a class', async () => {
    expect(await messageWithMode(join(root, 'dog'), 0o000)).toMatchInlineSnapshot(`
      "DataError: /my pets/dog: you may not read this folder (EACCES)
        fix: allow it, as in chmod -R a+rX "/my pets/dog""
    `);
  });

  it.each(['', 'cat/more'])('is named: %j', async (name) => {
    const folder = join(root, name);
    expect(await messageWithMode(folder, 0o000)).toContain(
      `DataError: ${folder.replace(workFolder, '')}: you may not read this folder (EACCES)`,
    );
  });

  it.each(['', 'cat', 'cat/more'])('gives names, but not what they are: %j', async (name) => {
    const folder = join(root, name);
    // To read is allowed, to enter is not.
    expect(await messageWithMode(folder, 0o444)).toContain(
      `DataError: ${folder.replace(workFolder, '')}: you may not read this folder (EACCES)`,
    );
  });

  it('is reached by a link', async () => {
    const closed = join(workFolder, 'closed');
    await mkdir(join(closed, 'fish'), { recursive: true });
    await symlink(join(closed, 'fish'), join(root, 'fish'));
    expect(await messageWithMode(closed, 0o000)).toContain(
      'DataError: /my pets/fish: you may not read this folder (EACCES)',
    );
  });

  it('does not matter for a link that is an image: that is named when it is read', async () => {
    const closed = join(workFolder, 'closed');
    await mkdir(closed);
    await symlink(join(closed, '3.png'), join(root, 'cat', '3.png'));
    await chmod(closed, 0o000);
    const { images } = await asOrdinaryUser(() => listImages(root));
    expect(images.map(({ name }) => name)).toContain('cat/3.png');
  });
});

describe('a folder that changes while it is listed', () => {
  const removeAfterReading = (read: string, removed: string) => {
    hook.afterReading = async (folder) => {
      if (folder === join(root, read)) await rm(join(root, removed), { recursive: true });
    };
  };

  it('loses a class', async () => {
    removeAfterReading('cat', 'dog');
    expect(await messageOf(listImages(root))).toMatchInlineSnapshot(`
      "DataError: /my pets/dog: it changed while it was listed (ENOENT)
        fix: run the command again when nothing moves or removes the data"
    `);
  });

  it.each([
    ['', 'dog'],
    ['cat', 'cat/1.png'],
  ])('%j loses %s, whose name was just read', async (folder, removed) => {
    removeAfterReading(folder, removed);
    expect(await messageOf(listImages(root))).toContain(
      `${join('/my pets', folder)}: it changed while it was listed (ENOENT)`,
    );
  });
});

it.skipIf(process.platform === 'win32')('too many open files are no fault of folders and pictures', () => {
  const program = fileURLToPath(new URL('../../../test/support/no-files-left.ts', import.meta.url));
  const picture = join(root, 'cat', '1.png');
  const command = `ulimit -n 200 && exec "$0" --import tsx "$1" "$2" "$3"`;
  const { stdout, stderr } = spawnSync('sh', ['-c', command, process.execPath, program, root, picture], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(stdout.replaceAll(workFolder, '')).toMatchInlineSnapshot(`
    "DataError: /my pets: too many files are open to read it (EMFILE)
      fix: allow more with ulimit -n 4096, or close other programs
    DataError: /my pets/cat/1.png: too many files are open to read it (EMFILE)
      fix: allow more with ulimit -n 4096, or close other programs
    "
  `);
});
