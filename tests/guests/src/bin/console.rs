//! The console: a line is read and shown, messages go elsewhere, and what is no command is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};

const TOP: &str = "/cap/console";

fn main() {
    let mut names: Vec<_> = fs::read_dir(TOP)
        .expect("listing")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    println!("{names:?}");
    print!("{}", fs::read_to_string(format!("{TOP}/policy")).expect("policy"));

    let cons = OpenOptions::new().read(true).write(true).open(format!("{TOP}/cons"));
    match cons {
        Ok(cons) => {
            let mut lines = BufReader::new(cons.try_clone().unwrap_or(cons));
            talk(&mut lines);
        }
        Err(error) => println!("cons: {:?}", error.kind()),
    }

    // Nothing here is a terminal.
    command("rawon\n");
    command("rawoff\n");
    command("beep\n");
    let size = fs::read_to_string(format!("{TOP}/winsize")).expect("winsize");
    let numbers: Vec<u32> = size.split(' ').map(|part| part.trim().parse().expect("a number")).collect();
    println!("winsize: {} numbers", numbers.len());

    for level in ["log", "warn", "error"] {
        let written = fs::write(format!("{TOP}/{level}"), format!("from the agent\nto {level}\n"));
        println!("{level}: {:?}", written.map_err(|error| error.kind()));
    }
    let mut text = String::new();
    let read = File::open(format!("{TOP}/log")).and_then(|mut file| file.read_to_string(&mut text));
    println!("reading messages: {:?}", read.map_err(|error| error.kind()));
}

fn talk(lines: &mut BufReader<File>) {
    for prompt in ["name? ", "and yours? "] {
        lines.get_mut().write_all(prompt.as_bytes()).expect("writing");
        let mut line = String::new();
        let count = lines.read_line(&mut line).expect("reading");
        let text = format!("{count} bytes: {}\n", line.trim_end());
        lines.get_mut().write_all(text.as_bytes()).expect("writing");
    }
}

fn command(line: &str) {
    let outcome = fs::write(format!("{TOP}/consctl"), line);
    println!("{}: {:?}", line.trim_end(), outcome.map_err(|error| error.raw_os_error()));
}
