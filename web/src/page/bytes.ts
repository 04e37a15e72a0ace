/** Bytes as callers give them. */

const getter = (prototype: object, name: PropertyKey): (() => unknown) => Object.getOwnPropertyDescriptor(prototype, name)!.get!;

const TYPED_ARRAY = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
/** The type name of a typed array of any window; `undefined` for anything else. */
const typeName = getter(TYPED_ARRAY, Symbol.toStringTag);
/** These getters throw for anything but a buffer of that kind, of any window. */
const length = getter(ArrayBuffer.prototype, 'byteLength');
const sharedLength = typeof SharedArrayBuffer === 'function' ? getter(SharedArrayBuffer.prototype, 'byteLength') : undefined;

function has(length: (() => unknown) | undefined, value: unknown): boolean {
  try {
    return length?.call(value) !== undefined;
  } catch {
    return false;
  }
}

/** Whether a buffer of any window isn't shared memory, which may change while it is read. */
export const isUnshared = (buffer: unknown): buffer is ArrayBuffer => has(length, buffer);

const isBuffer = (value: unknown): value is ArrayBufferLike => isUnshared(value) || has(sharedLength, value);

/**
 * The bytes of a buffer or of a view of one, as they lie there; `undefined` for anything else.
 *
 * @throws TypeError where there are none any more: the buffer is detached, or shorter now than what the view shows of it
 */
export function viewOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    // A typed array whose buffer was detached looks empty: only its methods throw. Of a DataView, properties do.
    if (typeName.call(value) !== undefined) TYPED_ARRAY.keys.call(value as Uint8Array);
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return isBuffer(value) ? new Uint8Array(value) : undefined;
}
