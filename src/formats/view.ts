/** @file Typed arrays over bytes that may lie at any offset. */

interface ViewConstructor<View> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): View;
}

/** The bytes as elements, in host order: a view where they are aligned for it, otherwise of a copy. */
export function viewOf<View>(arrayType: ViewConstructor<View>, bytes: Uint8Array): View {
  const elementBytes = arrayType.BYTES_PER_ELEMENT;
  // Not `bytes.slice()`: that of a Buffer does not copy.
  const { buffer, byteOffset, byteLength } =
    bytes.byteOffset % elementBytes === 0 ? bytes : new Uint8Array(bytes);
  return new arrayType(buffer, byteOffset, byteLength / elementBytes);
}
