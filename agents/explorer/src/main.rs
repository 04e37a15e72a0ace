//! A shell over the files of a namespace, line by line: looks around, reads, writes, and talks to devices by hand.
//! At a terminal it prompts; otherwise it runs its input as a script, and its exit status says whether all went well.
#![forbid(unsafe_code)]

mod devices;
mod files;
mod line;
mod paths;
mod shell;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::ExitCode;

use cap::{Failure, Result, Said};
use shell::{Shell, Step};

/// Bytes of a line, at most.
const LINE_MAX: usize = 64 << 10;

const USAGE: &str = "usage: explorer [SCRIPT | -c COMMANDS]; without them it runs what it reads";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut shell = Shell::new();
    let done = match args[..] {
        [] => {
            let prompt = io::stdin().is_terminal();
            run(&mut shell, &mut io::stdin().lock(), prompt)
        }
        ["-c", commands] => run(&mut shell, &mut commands.as_bytes(), false),
        [script] if !script.starts_with('-') => File::open(script)
            .said(script)
            .and_then(|file| run(&mut shell, &mut BufReader::new(file), false)),
        _ => Err(Failure::new("explorer", USAGE)),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs lines to their end, or to `exit`. Fails where the input or the output does; a command that fails says so
/// and the next one runs.
fn run(shell: &mut Shell, input: &mut dyn BufRead, prompt: bool) -> Result<u8> {
    let mut out = io::stdout().lock();
    let mut failed = false;
    if prompt {
        writeln!(out, "Everything here is a file. `help` lists the commands.").said("output")?;
    }
    let mut line = Vec::new();
    loop {
        if prompt {
            write!(out, "{}% ", shell.directory()).said("output")?;
        }
        out.flush().said("output")?;
        line.clear();
        let mut bounded = input.take(LINE_MAX as u64 + 1);
        if bounded.read_until(b'\n', &mut line).said("input")? == 0 {
            break;
        }
        if line.len() > LINE_MAX {
            let words = format!("a line has more than {LINE_MAX} bytes");
            return Err(Failure::new("input", words));
        }
        let step = match std::str::from_utf8(&line) {
            Ok(text) => shell.line(text, &mut out),
            Err(_) => Err(Failure::new("input", "the line is not UTF-8")),
        };
        match step {
            Ok(Step::Next) => {}
            Ok(Step::Exit(status)) => {
                out.flush().said("output")?;
                return Ok(status);
            }
            Err(failure) => {
                failed = true;
                if prompt {
                    // A terminal shows both streams, in an order that only one of them keeps.
                    writeln!(out, "{failure}").said("output")?;
                } else {
                    // What was printed before comes before.
                    out.flush().said("output")?;
                    eprintln!("{failure}");
                }
            }
        }
    }
    if prompt {
        writeln!(out).said("output")?;
    }
    Ok(u8::from(failed && !prompt))
}
