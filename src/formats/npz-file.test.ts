import { zipSync } from 'fflate';
import { expect, test } from 'vitest';
import { npzOf } from '../../test/support/npz.ts';
import { hostTensor, tensorOf } from '../core/host-tensor.ts';
import { bytesInMemory } from './byte-source.ts';
import { npyHeader } from './npy.ts';
import { openNpz } from './npz-file.ts';

const rows = tensorOf('i64', [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
const pictures = hostTensor('u8', [3, 2], Uint8Array.of(1, 2, 3, 4, 5, 6));

test('arrays are read whole or some rows at a time', async () => {
  const archive = await npzOf(
    new Map<string, typeof rows | typeof pictures>([
      ['labels', rows],
      ['arr_0', pictures],
    ]),
  );
  const file = await openNpz(bytesInMemory(archive), 'a.npz');
  expect(file.names).toEqual(['labels', 'arr_0']);
  const array = await file.array('arr_0');
  expect(array.shape).toEqual([3, 2]);
  expect(await array.read(1, 3)).toEqual(hostTensor('u8', [2, 2], Uint8Array.of(3, 4, 5, 6)));
  expect(await array.read()).toEqual(pictures);
  expect((await (await file.array('labels')).read(3, 4)).data).toEqual(BigInt64Array.of(7n, 8n));
});

test('what is not there, is cut off or lies otherwise is refused', async () => {
  const archive = await npzOf(new Map([['arr_0', pictures]]));
  const file = await openNpz(bytesInMemory(archive), 'a.npz');
  await expect(file.array('mu')).rejects.toThrowErrorMatchingInlineSnapshot(`
    [DataError: DataError: a.npz: there is no array mu in it, but arr_0.npy
      fix: give an archive that has it]
  `);
  await expect(
    openNpz(bytesInMemory(archive.subarray(0, archive.length - 30)), 'a.npz'),
  ).rejects.toThrowError('the file is cut off');
  /** The archive of an array whose header says something else. */
  const lying = (said: string, instead: string) => {
    const header = new TextDecoder('latin1').decode(npyHeader('u8', [3, 2])).replace(said, instead);
    const bytes = Uint8Array.from([...header].map((char) => char.charCodeAt(0)).concat(...pictures.data));
    const zip = zipSync({ 'arr_0.npy': bytes }, { level: 0 });
    return openNpz(bytesInMemory(zip), 'a.npz').then((opened) => opened.array('arr_0'));
  };
  expect(await (await lying('', '')).read()).toEqual(pictures);
  await expect(lying('(3, 2)', '(9, 2)')).rejects.toThrowError('takes 18 bytes, but 6 are there');
  await expect(lying("'fortran_order': False", "'fortran_order': True ")).rejects.toThrowError(
    'in Fortran order',
  );
  await expect(lying("'|u1'", "'|O8'")).rejects.toThrowError('are not supported');
});
