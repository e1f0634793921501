/** @file Labelled pictures that can be encoded, wherever they come from. */

export interface PictureFiles {
  /** What users call it. */
  readonly name: string;
  /** How it was understood, in a few words. */
  readonly recognised: string;
  readonly classNames: readonly string[];
  readonly labels: Int32Array;
  /** A name for each picture. */
  readonly names: readonly string[];
  /** What changes where a picture or its label does, as JSON. */
  readonly identity: unknown;
  /** Is its mirror image as good a picture? Where it is not, the picture is encoded in its place. Default: it is. */
  hasMirror?(index: number): boolean;
  /** The file of a picture: its path, or its content. */
  file(index: number): Promise<string | Uint8Array>;
}
