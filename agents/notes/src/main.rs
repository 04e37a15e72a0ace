//! A store of notes with a full-text search. It keeps them in the stored files of `/cap/storage/opfs` or in any folder, each in a text
//! file. With a command it does that one; without, it reads commands, a line each.
#![forbid(unsafe_code)]

mod commands;
mod exchange;
mod index;
mod index_file;
mod line;
mod note;
mod query;
mod search;
mod snippet;
mod store;
mod words;

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;

use cap::{Failure, Result, Said};
use commands::{HELP, Outcome, Session};
use store::Store;

/// Bytes of a line with a command, at most.
const LINE_MAX: usize = 64 << 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (folder, command) = match args[..] {
        ["-h" | "--help", ..] => return print(HELP),
        ["--in", folder, ref command @ ..] => (Some(folder), command),
        ref command => (None, command),
    };
    let mut input = io::stdin().lock();
    let mut session = Session::new(Store::open(folder), &mut input);
    let done = match command {
        [] => shell(&mut session),
        words => {
            let mut out = io::stdout().lock();
            let outcome = session.run(words, &mut out);
            outcome.and_then(|outcome| out.flush().said("output").map(|()| outcome))
        }
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Nothing) => {
            if !command.is_empty() {
                eprintln!("nothing found");
            }
            ExitCode::from(1)
        }
        Ok(Outcome::Misused(words)) => {
            eprintln!("error: {words}; `notes --help` tells more");
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(1)
        }
    }
}

fn print(text: &str) -> ExitCode {
    let written = io::stdout().write_all(text.as_bytes());
    ExitCode::from(u8::from(written.is_err()))
}

/// Runs commands to the end of the input. One that fails says so, and the next one runs.
fn shell(session: &mut Session) -> Result<Outcome> {
    let mut out = io::stdout().lock();
    let prompt = io::stdin().is_terminal();
    session.shell = true;
    session.prompt = prompt;
    if prompt {
        writeln!(out, "Notes. `help` lists the commands; Ctrl-D ends.").said("output")?;
    }
    let mut all = Outcome::Done;
    loop {
        if prompt {
            write!(out, "notes> ").said("output")?;
        }
        out.flush().said("output")?;
        let Some(line) = read_line(session.input)? else {
            break;
        };
        let outcome = match line::split(&line) {
            Ok(words) if words.is_empty() => continue,
            Ok(words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                session.run(&words, &mut out)
            }
            Err(words) => Err(Failure::new("line", words)),
        };
        // What was printed before comes before.
        out.flush().said("output")?;
        match outcome {
            Ok(Outcome::Done) => continue,
            Ok(Outcome::Nothing) => eprintln!("nothing found"),
            Ok(Outcome::Misused(words)) => eprintln!("error: {words}"),
            Err(failure) => eprintln!("error: {failure}"),
        }
        all = Outcome::Nothing;
    }
    if prompt {
        writeln!(out).said("output")?;
        // Whoever typed has seen it.
        return Ok(Outcome::Done);
    }
    Ok(all)
}

/// A line without its end; none at the end of the input.
///
/// # Errors
/// What reading says; a line that is too long or not UTF-8.
fn read_line(input: &mut dyn BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    let mut bounded = input.take(LINE_MAX as u64 + 1);
    if bounded.read_until(b'\n', &mut line).said("input")? == 0 {
        return Ok(None);
    }
    if line.len() > LINE_MAX {
        return Err(Failure::new(
            "input",
            format!("a line has more than {LINE_MAX} bytes"),
        ));
    }
    let mut line =
        String::from_utf8(line).map_err(|_| Failure::new("input", "a line is not UTF-8"))?;
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(Some(line))
}
