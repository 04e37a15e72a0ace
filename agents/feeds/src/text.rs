//! Text from what feeds send: markup is taken away, and nothing is left that a terminal would obey.

pub use cap::plain;

/// Characters of a summary, at most.
const SUMMARY_MAX: usize = 300;

/// The text of HTML: no tags, no scripts, characters for their references, shortened.
pub fn from_html(html: &str) -> String {
    let text = plain(&references(&without_tags(html)));
    cap::shortened(&text, SUMMARY_MAX)
}

/// Takes tags away, and with `script` and `style` what is in them. It need not understand HTML as a browser does: what is left
/// is shown as text.
fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let end = if tag.starts_with("!--") { "-->" } else { ">" };
        let begins = tag.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
        let Some((inside, after)) = tag.split_once(end).filter(|_| begins) else {
            // No tag: a sign.
            text.push('<');
            rest = tag;
            continue;
        };
        rest = after;
        for silent in ["script", "style"] {
            let opens = inside
                .get(..silent.len())
                .is_some_and(|name| name.eq_ignore_ascii_case(silent));
            if opens {
                let close = format!("</{silent}");
                let lower = rest.to_ascii_lowercase();
                rest = lower.find(&close).map_or("", |at| &rest[at..]);
            }
        }
        let inline = ["a", "b", "i", "em", "strong", "code", "span"];
        let name = inside
            .trim_start_matches('/')
            .split([' ', '\n', '/'])
            .next()
            .unwrap_or_default();
        if !inline.contains(&name) {
            text.push(' ');
        }
    }
    text.push_str(rest);
    text
}

/// Puts characters in the place of their references.
fn references(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once('&') {
        out.push_str(before);
        let named = reference
            .split_once(';')
            .and_then(|(name, after)| Some((reference_named(name)?, after)));
        match named {
            Some((character, after)) => {
                out.push(character);
                rest = after;
            }
            None => {
                out.push('&');
                rest = reference;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character that a reference means, without its `&` and `;`. Of HTML's names, those that feeds use.
pub fn reference_named(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hex = number
            .strip_prefix(['x', 'X'])
            .map(|hex| u32::from_str_radix(hex, 16));
        return char::from_u32(hex.unwrap_or_else(|| number.parse()).ok()?);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "copy" => '©',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(
            from_html("<p>A <b>b</b>old<br/>word &amp; more&hellip;</p>"),
            "A bold word & more…"
        );
        assert_eq!(from_html("a<script>alert('<b>')</SCRIPT>b"), "a b");
        assert_eq!(
            from_html("1 < 2 &x; <!-- > --> &#65;&#x42;"),
            "1 < 2 &x; AB"
        );
        assert_eq!(from_html(&"x".repeat(400)).chars().count(), SUMMARY_MAX);
    }

    #[test]
    fn terminals_obey_nothing_of_it() {
        assert_eq!(plain("a\u{1b}[31mb\u{9b}c\r\n\u{202e}d"), "a [31mb c d");
    }
}
