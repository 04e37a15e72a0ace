// Modules that can't run, each wrong in one way, byte by byte.

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]
const text = (string) => [string.length, ...Buffer.from(string)]
/** A type section with `func()` alone. */
const TYPES = [1, 4, 1, 0x60, 0, 0]
const IMPORT = [1, ...text('env'), ...text('mystery'), 0, 0]

export const badModules = {
  /** A section that promises more bytes than follow. */
  truncated: Buffer.from([...HEADER, 1, 40, 1, 0x60]),
  /** The header of a component. */
  component: Buffer.from([0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00]),
  /** Imports `env.mystery`. */
  unknownImport: Buffer.from([...HEADER, ...TYPES, 2, IMPORT.length, ...IMPORT]),
  /** Valid, and empty. */
  noStart: Buffer.from(HEADER),
}
