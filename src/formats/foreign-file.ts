/** @file Recognises files that people take for weights, by their first bytes, to say what they are instead. */

export interface ForeignFile {
  readonly kind: string;
  /** Weights all the same, of another container. */
  readonly isWeights?: boolean;
  /** What to do about it. */
  readonly fix: string;
}

interface Signature extends ForeignFile {
  /** Each character is a byte. */
  readonly start: string;
}

const GIVE_WEIGHTS = 'give the file of the weights themselves';

const SIGNATURES: readonly Signature[] = [
  {
    start: 'PK\x03\x04',
    kind: 'a zip archive (torch.save writes .pt files as such, np.savez .npz files)',
    isWeights: true,
    fix: 'give a .safetensors file, or convert this one',
  },
  {
    start: '\x80\x02',
    kind: 'a Python pickle (a .pt file as PyTorch wrote it before version 1.6)',
    isWeights: true,
    fix: 'give a .safetensors file, or convert this one',
  },
  {
    start: 'version https://git-lfs',
    kind: 'a Git LFS pointer: the content itself was not downloaded',
    fix: 'run `git lfs pull` where the file lies',
  },
  { start: '\x89HDF', kind: 'an HDF5 file, as of Keras', isWeights: true, fix: 'convert it to .safetensors' },
  { start: 'GGUF', kind: 'a GGUF file', isWeights: true, fix: 'convert it to .safetensors' },
  { start: '\x93NUMPY', kind: 'an array of NumPy', fix: GIVE_WEIGHTS },
  { start: '\x89PNG', kind: 'a PNG picture', fix: GIVE_WEIGHTS },
  { start: '\xff\xd8\xff', kind: 'a JPEG picture', fix: GIVE_WEIGHTS },
  { start: 'GIF8', kind: 'a GIF picture', fix: GIVE_WEIGHTS },
  { start: 'RIFF', kind: 'a WebP picture, or a sound or film', fix: GIVE_WEIGHTS },
  { start: '%PDF', kind: 'a PDF document', fix: GIVE_WEIGHTS },
  { start: '\x1f\x8b\x08', kind: 'a gzip archive', fix: 'unpack it, and give the weights in it' },
  { start: '7z\xbc\xaf', kind: 'a 7z archive', fix: 'unpack it, and give the weights in it' },
  { start: '\xfd7zXZ', kind: 'an xz archive', fix: 'unpack it, and give the weights in it' },
  {
    start: '\x08',
    kind: 'a protocol buffer, as ONNX models are',
    fix: 'give the weights that it was made of',
  },
];

/** Texts by their first character that is no space. */
const TEXTS: readonly Signature[] = [
  { start: '{', kind: 'JSON', fix: GIVE_WEIGHTS },
  { start: '[', kind: 'JSON', fix: GIVE_WEIGHTS },
  { start: '<', kind: 'an HTML or XML page', fix: 'download the file itself, not the page that shows it' },
  { start: '', kind: 'a text', fix: GIVE_WEIGHTS },
];

/** From so many bytes on a start is no accident, whatever sizes a file begins with. */
const CERTAIN_BYTES = 3;
/** As many bytes tell all kinds apart. */
export const FOREIGN_BYTES = 256;

/** What a file that cannot be safetensors is, if its first bytes are well known or a text, otherwise undefined. */
export function describeForeignFile(bytes: Uint8Array): ForeignFile | undefined {
  return SIGNATURES.find(({ start }) => startsWith(bytes, start)) ?? describeText(bytes);
}

/** The same for one that may be safetensors, only cut off. */
export function describeCertainly(bytes: Uint8Array): ForeignFile | undefined {
  return SIGNATURES.find(({ start }) => start.length >= CERTAIN_BYTES && startsWith(bytes, start));
}

function startsWith(bytes: Uint8Array, start: string): boolean {
  return Array.from(start).every((char, i) => bytes[i] === char.charCodeAt(0));
}

function describeText(bytes: Uint8Array): ForeignFile | undefined {
  try {
    // As a stream: its last character may be cut off.
    const decoder = new TextDecoder('utf-8', { fatal: true });
    const text = decoder.decode(bytes.subarray(0, FOREIGN_BYTES), { stream: true });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they tell texts from other bytes.
    if (/[\x00-\x08\x0e-\x1a\x7f]/.test(text)) return undefined;
    return TEXTS.find(({ start }) => text.trimStart().startsWith(start));
  } catch {
    return undefined;
  }
}
