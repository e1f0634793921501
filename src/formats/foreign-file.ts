/** @file Recognises files that people take for safetensors, by their first bytes, to say what they are instead. */

export interface ForeignFile {
  readonly kind: string;
  /** What to do about it. */
  readonly fix: string;
}

const SIGNATURES: readonly (ForeignFile & { readonly start: string })[] = [
  {
    start: 'PK\x03\x04',
    kind: 'a zip archive (torch.save writes .pt files as such, np.savez .npz files)',
    fix: 'give a .safetensors file, or convert this one',
  },
  {
    start: '\x80\x02',
    kind: 'a Python pickle (a .pt file as PyTorch wrote it before version 1.6)',
    fix: 'give a .safetensors file, or convert this one',
  },
  {
    start: 'version https://git-lfs',
    kind: 'a Git LFS pointer: the content itself was not downloaded',
    fix: 'run `git lfs pull` where the file lies',
  },
  { start: '{', kind: 'JSON', fix: 'give the file of the weights themselves' },
  {
    start: '\x08',
    kind: 'a protocol buffer, as ONNX models are',
    fix: 'give the weights that it was made of',
  },
  { start: '<', kind: 'an HTML or XML page', fix: 'download the file itself, not the page that shows it' },
];

/** As many bytes tell all of them apart. */
export const LONGEST_SIGNATURE = Math.max(...SIGNATURES.map(({ start }) => start.length));

const TEXT: ForeignFile = { kind: 'a text', fix: 'give a .safetensors file' };

/** What the file is if its first bytes are well known or all printable, otherwise undefined. */
export function describeForeignFile(bytes: Uint8Array): ForeignFile | undefined {
  const known = SIGNATURES.find(({ start }) =>
    Array.from(start).every((char, i) => bytes[i] === char.charCodeAt(0)),
  );
  const isText = bytes.subarray(0, LONGEST_SIGNATURE).every((byte) => byte >= 0x20 && byte < 0x7f);
  return known ?? (isText ? TEXT : undefined);
}
