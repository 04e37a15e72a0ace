// What of the standard libraries' tests is known to fail, and why: library -> package -> test -> reason. `hosts` says where, unless everywhere.

/**
 * The tests make links with absolute targets. WASI's `path_symlink` is relative to a directory, and the official tests want
 * such a target refused: there is no root that it could mean outside of a program's namespace.
 */
const ABSOLUTE = 'makes a link with an absolute target, which WASI refuses'

/** @type {Record<string, Record<string, Record<string, {why: string, hosts?: string[]}>>>} */
export const KNOWN = {
  go: {
    'os with links': {
      TestDirFSReadLink: { why: ABSOLUTE },
      TestCopyFSWithSymlinks: { why: ABSOLUTE },
      TestSymlinkWithTrailingSlash: { why: ABSOLUTE },
      TestFileAndSymlinkStats: { why: ABSOLUTE },
      TestDirAndSymlinkStats: { why: ABSOLUTE },
      'TestLongPath/length=247': { why: ABSOLUTE },
      'TestLongPath/length=248': { why: ABSOLUTE },
      'TestLongPath/length=249': { why: ABSOLUTE },
      'TestLongPath/length=400': { why: ABSOLUTE },
    },
    'path/filepath with links': {
      TestGlobSymlink: { why: ABSOLUTE },
      TestWalkSymlinkRoot: { why: ABSOLUTE },
      TestEvalSymlinks: { why: ABSOLUTE },
      TestIssue13582: { why: ABSOLUTE },
      TestRelativeSymlinkToAbsolute: { why: ABSOLUTE },
      TestWalkSymlink: { why: ABSOLUTE },
      TestEvalSymlinksTooManyLinks: { why: ABSOLUTE },
      TestEvalSymlinksAboveRoot: { why: ABSOLUTE },
    },
  },
  zig: {
    files: {
      'files.test.a link to a file is followed when it is opened': {
        why: "Zig's `openFile` asks for no SYMLINK_FOLLOW on WASI, whatever its options say, so a link is ELOOP",
      },
    },
  },
}
