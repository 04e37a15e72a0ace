//! Keeps notes, a line each, in `/notes.txt`: adds, lists, finds and drops them.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, ErrorKind, Write};
use std::process::ExitCode;

const FILE: &str = "/notes.txt";

const USAGE: &str = "\
usage: notes add WORDS…    add a note (without words: a note for each line of the input)
       notes list          show all notes with their numbers
       notes find WORD     show the notes that have the word
       notes drop NUMBER   remove a note";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> io::Result<()> {
    match args {
        ["add"] => io::stdin().lock().lines().try_for_each(|line| add(&line?)),
        ["add", words @ ..] => add(&words.join(" ")),
        [] | ["list"] => show(|_| true),
        ["find", word] => show(|note| note.contains(word)),
        ["drop", number] => remove(number),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, USAGE)),
    }
}

/// All notes; there are none before the first is added.
fn notes() -> io::Result<Vec<String>> {
    match fs::read_to_string(FILE) {
        Ok(text) => Ok(text.lines().map(str::to_string).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn add(note: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(FILE)?;
    writeln!(file, "{note}")
}

fn show(wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    for (index, note) in notes()?.iter().enumerate().filter(|(_, note)| wanted(note)) {
        println!("{:3}  {note}", index + 1);
    }
    Ok(())
}

fn remove(number: &str) -> io::Result<()> {
    let mut notes = notes()?;
    let index = number
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_sub(1));
    let Some(index) = index.filter(|index| *index < notes.len()) else {
        return Err(io::Error::new(
            ErrorKind::NotFound,
            format!("there is no note {number}"),
        ));
    };
    println!("dropped: {}", notes.remove(index));
    // Renaming a finished file over the old one leaves either all notes or all but one, never fewer.
    let new = format!("{FILE}.new");
    fs::write(
        &new,
        notes
            .iter()
            .map(|note| format!("{note}\n"))
            .collect::<String>(),
    )?;
    fs::rename(new, FILE)
}
