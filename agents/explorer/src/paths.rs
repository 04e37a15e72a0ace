//! The working directory, which WASI leaves to the program, and paths that begin in it.

/// An absolute path from a working directory and a path as it was typed: `.` and `..` are resolved by name, as Plan 9 does
/// ([Lexical file names](https://9p.io/sys/doc/lexnames.html)).
pub fn absolute(from: &str, typed: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let start = if typed.starts_with('/') { "" } else { from };
    for name in start.split('/').chain(typed.split('/')) {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// The last name of a path.
pub fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path below a directory.
pub fn below(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_in_the_working_directory() {
        assert_eq!(absolute("/a/b", "c"), "/a/b/c");
        assert_eq!(absolute("/a/b", "../c/./d/"), "/a/c/d");
        assert_eq!(absolute("/a", "/x//y/.."), "/x");
        assert_eq!(absolute("/", "../.."), "/");
        assert_eq!(absolute("/a", "."), "/a");
        assert_eq!((last("/a/b"), &*below("/", "a")), ("b", "/a"));
    }
}
