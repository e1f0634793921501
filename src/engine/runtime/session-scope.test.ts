import { describe, expect, test } from 'vitest';
import { type Releasable, releasing } from './session-scope.ts';

/** Things that say in a list when they are released. */
function recorder() {
  const released: string[] = [];
  const made = (name: string): Releasable => ({
    async release() {
      released.push(name);
    },
  });
  return { released, made };
}

describe('releasing', () => {
  test('hands over what was opened, unreleased', async () => {
    const { released, made } = recorder();
    const both = await releasing(async ({ open }) => [
      await open(Promise.resolve(made('a'))),
      await open(Promise.resolve(made('b'))),
    ]);
    expect([both.length, released]).toEqual([2, []]);
  });

  test('releases all of it when the body fails, and passes the error on', async () => {
    const { released, made } = recorder();
    const failing = releasing(async ({ open }) => {
      await open(Promise.resolve(made('a')));
      await open(Promise.resolve(made('b')));
      throw new Error('no space');
    });
    await expect(failing).rejects.toThrow('no space');
    expect(released.sort()).toEqual(['a', 'b']);
  });

  test('waits for what is still being made when another fails', async () => {
    const { released, made } = recorder();
    let finish: (thing: Releasable) => void = () => {};
    const late = new Promise<Releasable>((resolve) => {
      finish = resolve;
    });
    const failing = releasing(({ open }) =>
      Promise.all([open(late), open(Promise.reject(new Error('refused')))]),
    );
    finish(made('late'));
    await expect(failing).rejects.toThrow('refused');
    expect(released).toEqual(['late']);
  });

  test('an error of releasing does not hide the first one', async () => {
    const failing = releasing(async ({ open }) => {
      await open(Promise.resolve({ release: () => Promise.reject(new Error('second')) }));
      throw new Error('first');
    });
    await expect(failing).rejects.toThrow('first');
  });
});
