/** Bytes as callers give them. */

const getter = (prototype: object, name: PropertyKey): (() => unknown) => Object.getOwnPropertyDescriptor(prototype, name)!.get!;

const TYPED_ARRAY = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
/** The name of a typed array's type, of whatever window; `undefined` for anything else. */
const typeName = getter(TYPED_ARRAY, Symbol.toStringTag);
/** Throw for what is no such buffer, of whatever window. */
const lengths = [ArrayBuffer, ...(typeof SharedArrayBuffer === 'function' ? [SharedArrayBuffer] : [])].map(({ prototype }) => getter(prototype, 'byteLength'));

function isBuffer(value: unknown): value is ArrayBufferLike {
  return lengths.some((length) => {
    try {
      length.call(value);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * The bytes of a buffer or of a view of one, as they lie there; `undefined` for anything else.
 *
 * @throws TypeError where there are none any more: the buffer is detached, or shorter now than what the view shows of it
 */
export function viewOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    // A typed array that has lost its buffer says that it is empty; its methods say why. A DataView's properties do.
    if (typeName.call(value) !== undefined) TYPED_ARRAY.keys.call(value as Uint8Array);
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return isBuffer(value) ? new Uint8Array(value) : undefined;
}
