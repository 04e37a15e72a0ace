//! What people are told while a program is compiled.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use capfs_host::say;

/// How long it may take before it is shown on a terminal.
const MOMENT: Duration = Duration::from_millis(400);

/// How long it may take before there is a line of it elsewhere, in a log say, where it stays.
const LONG: Duration = Duration::from_secs(2);

/// Tells that a program is compiled, where that takes its time: on a terminal until it is done, elsewhere by a line.
pub struct Progress {
    begun: Instant,
    told: bool,
    name: String,
    /// Bytes of the module.
    len: usize,
    kept: bool,
    quiet: bool,
}

impl Progress {
    /// Of the program of this name and length, whose code is kept or not; one that is quiet tells nothing.
    pub fn new(name: &str, len: usize, kept: bool, quiet: bool) -> Progress {
        Progress {
            begun: Instant::now(),
            told: false,
            name: name.to_owned(),
            len,
            kept,
            quiet,
        }
    }

    /// It still goes on.
    pub fn look(&mut self) {
        if self.told || self.quiet {
            return;
        }
        let terminal = io::stderr().is_terminal();
        let passed = self.begun.elapsed();
        if passed < MOMENT || !terminal && passed < LONG {
            return;
        }
        self.told = true;
        match terminal {
            true => say::status(format!("compiling {}…", file_name(&self.name))),
            false => {
                let kilobytes = self.len.div_ceil(1000);
                let kept = match self.kept {
                    true => ", kept for next time",
                    false => "",
                };
                let name = &self.name;
                say::note("compiling", format!("{name} ({kilobytes} kB){kept}"));
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        say::end_status();
    }
}

/// What a program's file is called, without its folders.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
