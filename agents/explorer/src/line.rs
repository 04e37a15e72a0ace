//! Command lines: words, quotes, redirections, several commands a line.

/// Where a command's output goes instead of the terminal.
#[derive(Debug, PartialEq, Eq)]
pub struct Redirection {
    /// The file.
    pub path: String,
    /// `>>`: behind what the file has.
    pub append: bool,
}

/// One command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Its name and its arguments; never empty.
    pub words: Vec<String>,
    /// Where its output goes.
    pub output: Option<Redirection>,
}

/// A piece of a line.
enum Piece {
    Word(String),
    Redirect { append: bool },
    End,
}

/// Splits a line into its commands, at `;`. Behind a `#` that begins a word is a comment. Within `'…'` and `"…"`
/// everything stands for itself; `\` takes the meaning from the character behind it, elsewhere.
///
/// # Errors
/// A sentence: an open quote, a redirection without its file or command.
pub fn parse(line: &str) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    let mut command = Command::default();
    let mut redirect = None;
    for piece in pieces(line)? {
        match (piece, redirect.take()) {
            (Piece::Word(path), Some(append)) => {
                if command.output.is_some() {
                    return Err("the output goes to one file only".to_owned());
                }
                command.output = Some(Redirection { path, append });
            }
            (_, Some(_)) => return Err("there is no file behind the >".to_owned()),
            (Piece::Word(word), None) => command.words.push(word),
            (Piece::Redirect { append }, None) => redirect = Some(append),
            (Piece::End, None) => {
                if !command.words.is_empty() {
                    commands.push(std::mem::take(&mut command));
                } else if command.output.is_some() {
                    return Err("there is no command before the >".to_owned());
                }
            }
        }
    }
    Ok(commands)
}

fn pieces(line: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    // `Some` within a word, which may be empty: ''.
    let mut word: Option<String> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some(end) if end == character => break,
                        Some(inside) => word.push(inside),
                        None => return Err(format!("the {character} is not closed")),
                    }
                }
            }
            '\\' => match characters.next() {
                Some(literal) => word.get_or_insert_default().push(literal),
                None => return Err("there is nothing behind the \\".to_owned()),
            },
            '#' if word.is_none() => break,
            '>' | ';' => {
                pieces.extend(word.take().map(Piece::Word));
                pieces.push(if character == ';' {
                    Piece::End
                } else {
                    Piece::Redirect {
                        append: characters.next_if_eq(&'>').is_some(),
                    }
                });
            }
            space if space.is_whitespace() => pieces.extend(word.take().map(Piece::Word)),
            other => word.get_or_insert_default().push(other),
        }
    }
    pieces.extend(word.map(Piece::Word));
    pieces.push(Piece::End);
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<String>> {
        let commands = parse(line).unwrap();
        commands.into_iter().map(|command| command.words).collect()
    }

    #[test]
    fn words_and_quotes() {
        assert_eq!(words("  ls  -l\t/a "), [["ls", "-l", "/a"]]);
        assert_eq!(
            words("echo 'a  b' \"c'd\" e\\ f ''"),
            [["echo", "a  b", "c'd", "e f", ""]]
        );
        assert_eq!(words("echo a'b c'd"), [["echo", "ab cd"]]);
        assert_eq!(
            words("pwd;; cd /a#b ; # over"),
            [vec!["pwd"], vec!["cd", "/a#b"]]
        );
        assert!(words("# nothing").is_empty());
    }

    #[test]
    fn redirections() {
        let commands = parse("echo a>b; echo c >> 'd e'").unwrap();
        let outputs: Vec<_> = commands
            .iter()
            .map(|command| command.output.as_ref().unwrap())
            .collect();
        assert_eq!((&*outputs[0].path, outputs[0].append), ("b", false));
        assert_eq!((&*outputs[1].path, outputs[1].append), ("d e", true));
    }

    #[test]
    fn what_is_no_command() {
        for bad in [
            "echo 'a",
            "echo \"",
            "echo \\",
            "echo >",
            "echo > ; ls",
            "> a",
            "echo a > b > c",
            "echo >>> a",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
