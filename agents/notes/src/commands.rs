//! The commands.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};

use cap::{Failure, Result, Said, printable, rfc3339, seconds_now};

use crate::exchange;
use crate::index::Index;
use crate::note::{Note, TEXT_MAX, tag_name};
use crate::query::Query;
use crate::search::search;
use crate::snippet::snippet;
use crate::store::Store;

/// Hits that are shown unless told.
const HITS: usize = 10;

pub const HELP: &str = "\
usage: notes [--in FOLDER] [COMMAND]; without a command it reads commands, a line each
  add [-t TAG]… [WORD…]    adds a note; without words the input is its text
  edit N [WORD…]           gives a note another text; without words, the input
  show N…                  shows notes
  list [-l] [TAG…]         lists all notes, or those with these tags; -l: with the time of the last change
  tag N [TAG… | -TAG…]     adds tags to a note and takes them away
  tags                     lists all tags
  search [-n HITS] TERM…   finds notes that have all terms, the best first, 10 unless told
                           TERM: word, beginn*, 'some words in order', #tag; -TERM: without
  remove N…                removes notes
  export                   prints all notes as JSON, a line each
  import [FILE]            adds the notes of an export that aren't there yet; without a file, those of the input
  help                     this list
In a line of commands, a text that is not given as words ends with a line that has only a dot.
Notes are kept in FOLDER/notes as text files; FOLDER is /cap/storage/opfs where that is, / otherwise:
  capfs-host run --state DIR --grant opfs notes.wasm, or capfs-host run --dir FOLDER::/:rw notes.wasm
";

/// How a command ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was told.
    Done,
    /// It found nothing.
    Nothing,
    /// It can't be understood.
    Misused(String),
}

/// What commands work on.
pub struct Session<'a> {
    store: Store,
    /// Where texts come from.
    pub input: &'a mut dyn BufRead,
    /// Whether commands come from there, too.
    pub shell: bool,
    /// Whether somebody types them.
    pub prompt: bool,
}

impl<'a> Session<'a> {
    /// Commands that work on these notes.
    pub fn new(store: Store, input: &'a mut dyn BufRead) -> Session<'a> {
        Session {
            store,
            input,
            shell: false,
            prompt: false,
        }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// Whatever goes wrong.
    pub fn run(&mut self, words: &[&str], out: &mut dyn Write) -> Result<Outcome> {
        let mut print = |text: &str| writeln!(out, "{text}").said("output");
        match *words {
            ["add", ref rest @ ..] => self.add(rest, out),
            ["edit", number, ref text @ ..] => {
                let number = note_number(number)?;
                let mut note = self.store.note(number)?;
                note.replace(&self.text(text, &mut print)?, &now())?;
                self.store.put(number, &note)?;
                print(&headline(number, &note.title(), &note))?;
                Ok(Outcome::Done)
            }
            ["show", first, ref more @ ..] => self.show(first, more, out),
            ["list", "-l", ref tags @ ..] => self.list(tags, true, out),
            ["list", ref tags @ ..] => self.list(tags, false, out),
            ["tag", number, ref tags @ ..] => {
                let number = note_number(number)?;
                let mut note = self.store.note(number)?;
                for tag in tags {
                    match tag.strip_prefix('-') {
                        Some(tag) => {
                            note.tags.remove(&tag_name(tag)?);
                        }
                        None => note.tag(tag.strip_prefix('+').unwrap_or(tag))?,
                    }
                }
                if !tags.is_empty() {
                    note.changed = now();
                    self.store.put(number, &note)?;
                }
                print(&headline(number, &note.title(), &note))?;
                Ok(Outcome::Done)
            }
            ["tags"] => {
                let mut counts: BTreeMap<String, usize> = BTreeMap::new();
                for entry in Index::of(&self.store)?.notes.into_values() {
                    for tag in entry.tags {
                        *counts.entry(tag).or_default() += 1;
                    }
                }
                for (tag, count) in &counts {
                    print(&format!("{count:4}  #{tag}"))?;
                }
                Ok(found(!counts.is_empty()))
            }
            ["search", ref terms @ ..] => match terms.iter().position(|term| *term == "-n") {
                None => self.search(HITS, terms, out),
                Some(at) => match terms.get(at + 1).and_then(|hits| hits.parse().ok()) {
                    Some(hits) if hits > 0 => {
                        let terms = [&terms[..at], &terms[at + 2..]].concat();
                        self.search(hits, &terms, out)
                    }
                    _ => Ok(Outcome::Misused(
                        "expected a number of hits behind -n".to_owned(),
                    )),
                },
            },
            ["remove", first, ref more @ ..] => {
                for number in std::iter::once(&first).chain(more) {
                    self.store.remove(note_number(number)?)?;
                }
                Ok(Outcome::Done)
            }
            ["export"] => exchange::export(&self.store, out).map(|()| Outcome::Done),
            ["import"] if self.shell => {
                let words = "expected a file: the input has the commands";
                Ok(Outcome::Misused(words.to_owned()))
            }
            ["import"] => {
                let imported = exchange::import(&self.store, self.input, &now());
                told(&imported?, out)
            }
            ["import", path] => {
                let mut file = BufReader::new(File::open(path).said(path)?);
                let imported = exchange::import(&self.store, &mut file, &now());
                told(&imported?, out)
            }
            ["help"] => out
                .write_all(HELP.as_bytes())
                .said("output")
                .map(|()| Outcome::Done),
            ref words => Ok(Outcome::Misused(misused(words))),
        }
    }

    fn add(&mut self, words: &[&str], out: &mut dyn Write) -> Result<Outcome> {
        let mut tags = Vec::new();
        let mut words = words;
        while let ["-t", tag, ref rest @ ..] = *words {
            tags.push(tag);
            words = rest;
        }
        if words.first() == Some(&"--") {
            words = &words[1..];
        }
        // Bad tags are refused before a text is asked for.
        let mut note = Note::default();
        for tag in tags {
            note.tag(tag)?;
        }
        let tags = note.tags;
        let mut print = |text: &str| writeln!(out, "{text}").said("output");
        let mut note = Note::new(&self.text(words, &mut print)?, &now())?;
        note.tags = tags;
        let number = self.store.add(std::slice::from_ref(&note))?;
        writeln!(out, "{}", headline(number, &note.title(), &note)).said("output")?;
        Ok(Outcome::Done)
    }

    /// A text: these words, or what the input has.
    fn text(
        &mut self,
        words: &[&str],
        print: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<String> {
        if !words.is_empty() {
            return Ok(words.join(" "));
        }
        if self.prompt {
            print("(the text; a line that has only a dot ends it)")?;
        }
        let mut text = Vec::new();
        let mut bounded = self.input.take(TEXT_MAX as u64 + 1);
        if self.shell {
            loop {
                let begin = text.len();
                let end = bounded.read_until(b'\n', &mut text).said("input")? == 0;
                if end || text[begin..].trim_ascii_end() == b"." {
                    text.truncate(begin);
                    break;
                }
            }
        } else {
            bounded.read_to_end(&mut text).said("input")?;
        }
        String::from_utf8(text).map_err(|_| Failure::new("input", "the text is not UTF-8"))
    }

    fn show(&self, first: &str, more: &[&str], out: &mut dyn Write) -> Result<Outcome> {
        for (index, number) in std::iter::once(&first).chain(more).enumerate() {
            let number = note_number(number)?;
            let note = self.store.shown(number)?;
            let blank = if index == 0 { "" } else { "\n" };
            let head = format!("{blank}{number}{}", Note::shown_tags(&note.tags));
            writeln!(out, "{head}\n{}", printable(&note.text)).said("output")?;
        }
        Ok(Outcome::Done)
    }

    fn list(&self, tags: &[&str], long: bool, out: &mut dyn Write) -> Result<Outcome> {
        let tags = tags
            .iter()
            .map(|tag| tag_name(tag))
            .collect::<Result<Vec<_>>>()?;
        let mut any = false;
        for (number, entry) in &Index::of(&self.store)?.notes {
            if !tags.iter().all(|tag| entry.tags.contains(tag)) {
                continue;
            }
            any = true;
            let changed = if long {
                format!("{:20}  ", entry.changed)
            } else {
                String::new()
            };
            let shown = Note::shown_tags(&entry.tags);
            writeln!(out, "{number:4}  {changed}{}{shown}", entry.title).said("output")?;
        }
        Ok(found(any))
    }

    fn search(&self, hits: usize, terms: &[&str], out: &mut dyn Write) -> Result<Outcome> {
        let query = Query::new(terms)?;
        let index = Index::of(&self.store)?;
        let numbers = search(&self.store, &index, &query)?;
        for number in numbers.iter().take(hits) {
            let note = self.store.shown(*number)?;
            writeln!(out, "{}", headline(*number, &note.title(), &note)).said("output")?;
            if let Some(line) = snippet(&note.text, &query) {
                writeln!(out, "      {line}").said("output")?;
            }
        }
        if numbers.len() > hits {
            writeln!(out, "and {} more", numbers.len() - hits).said("output")?;
        }
        Ok(found(!numbers.is_empty()))
    }
}

/// A note on one line.
fn headline(number: u32, title: &str, note: &Note) -> String {
    format!("{number:4}  {title}{}", Note::shown_tags(&note.tags))
}

fn told(imported: &exchange::Imported, out: &mut dyn Write) -> Result<Outcome> {
    let (added, known) = (imported.added, imported.known);
    writeln!(out, "{added} added, {known} there already").said("output")?;
    Ok(Outcome::Done)
}

fn found(any: bool) -> Outcome {
    if any { Outcome::Done } else { Outcome::Nothing }
}

fn now() -> String {
    rfc3339(seconds_now())
}

fn note_number(word: &str) -> Result<u32> {
    let number = word.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Failure::new(cap::plain(word), "expected the number of a note"))
}

/// Says how a command is used that was used otherwise, or that there is none.
fn misused(words: &[&str]) -> String {
    let Some(name) = words.first() else {
        return "expected a command".to_owned();
    };
    let usage = HELP
        .lines()
        .filter_map(|line| line.trim_start().split("  ").next())
        .find(|usage| usage.split(' ').next() == Some(name));
    match usage {
        Some(usage) => format!("{name} is used as: {usage}"),
        None => format!("there is no command {}", cap::plain(name)),
    }
}
