//! A tree two hundred directories deep, made, walked and removed with the standard library.

use std::fs;
use std::path::{Path, PathBuf};

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut files = Vec::new();
    walk(Path::new("/given"), &mut files)?;
    for file in &files {
        println!("{} {:?}", file.display(), fs::read_to_string(file)?);
    }
    let mut deep = PathBuf::from("/deep");
    for level in 0..200 {
        deep.push(format!("level{level}"));
    }
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("bottom"), "the bottom")?;
    files.clear();
    walk(Path::new("/deep"), &mut files)?;
    println!("{} file, {} letters of path", files.len(), files[0].as_os_str().len());
    println!("{:?}", fs::read_to_string(&files[0])?);
    fs::remove_dir_all("/deep")?;
    println!("gone: {}", !fs::exists("/deep")?);
    Ok(())
}
