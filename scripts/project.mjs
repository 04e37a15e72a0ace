// Where things are in this project. Every script takes its paths from here.

import { existsSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the checkout. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/** A path in the checkout. */
export const path = (...parts) => join(root, ...parts)

/** What the scripts remember between runs and may be deleted at any time. */
export const cache = path('.cache')

/** Cargo's target directory: `CARGO_TARGET_DIR` as cargo reads it, else `target`. */
export const target = process.env.CARGO_TARGET_DIR
  ? resolve(root, process.env.CARGO_TARGET_DIR)
  : path('target')

/**
 * The target directory of the sample agents, a cargo workspace of its own: were it shared with the
 * root workspace, the two would wait for each other's lock and could not build side by side.
 */
export const agentsTarget = join(target, 'agents')

/** Where what is built for loom lies: its flag is every crate's. */
export const loomTarget = join(target, 'loom')

/** The release build of one of the project's binaries. */
export const binary = (name) => join(target, 'release', name)

/** A path as a person at the root of the checkout would write it. */
export const shown = (file) => {
  const short = relative(root, file)
  return short.startsWith('..') ? file : short
}

/** Whether a part of the project is in this checkout. */
export const has = (...parts) => existsSync(path(...parts))
