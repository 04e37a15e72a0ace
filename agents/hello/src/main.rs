//! Says what it was started with: arguments, environment, and the files that it was given.

use std::env;
use std::fs;
use std::io;

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.is_empty() {
        println!("hello, world");
    } else {
        println!("hello, {}", args.join(" "));
    }

    let mut variables: Vec<(String, String)> = env::vars().collect();
    variables.sort();
    for (name, value) in variables {
        println!("env  {name}={value}");
    }

    // Without a mount there is no root at all, and that is no error of this program's.
    if let Ok(entries) = fs::read_dir("/") {
        let mut names: Vec<String> = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            println!("file /{name}");
        }
    }
    Ok(())
}
