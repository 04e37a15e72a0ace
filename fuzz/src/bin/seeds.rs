//! Writes a target's seeds into a folder, for libFuzzer to begin with; without arguments, lists the targets.

use std::path::Path;
use std::process::ExitCode;

use capfs_fuzz::{TARGETS, target};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, folder) = match arguments.as_slice() {
        [] => {
            for target in TARGETS {
                println!("{:<12}{}", target.name, target.about);
            }
            return ExitCode::SUCCESS;
        }
        [name, folder] => (name, Path::new(folder)),
        _ => {
            eprintln!("usage: seeds [TARGET FOLDER]");
            return ExitCode::from(2);
        }
    };
    let Some(target) = target(name) else {
        eprintln!("error: there is no target `{name}`");
        return ExitCode::from(2);
    };
    for (index, seed) in (target.seeds)().into_iter().enumerate() {
        if let Err(error) = std::fs::write(folder.join(format!("seed-{index}")), seed) {
            eprintln!("error: can't write into {}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
