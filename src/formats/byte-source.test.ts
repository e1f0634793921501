import { expect, test } from 'vitest';
import { bytesInMemory, bytesOfBlob } from './byte-source.ts';

test('memory and blobs give the same bytes, memory without a copy', async () => {
  const bytes = Uint8Array.of(1, 2, 3, 4, 5);
  for (const source of [bytesInMemory(bytes), bytesOfBlob(new Blob([bytes]))]) {
    expect(source.size).toBe(5);
    expect([...(await source.read(1, 4))]).toEqual([2, 3, 4]);
    expect(await source.read(5, 5)).toHaveLength(0);
  }
  expect((await bytesInMemory(bytes).read(1, 4)).buffer).toBe(bytes.buffer);
});
