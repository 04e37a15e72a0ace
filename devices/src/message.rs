//! What HTTP messages are made of: tokens, fields, the words for a status.

/// Whether a text is a token ([RFC 9110, section 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)).
pub fn is_token(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(part)
}

/// Whether a text can be the name of a field.
pub fn is_field_name(text: &str) -> bool {
    is_token(text)
}

/// Whether a text can be the value of a field: no line ends, no other control characters, and no more than one byte a
/// character, as browsers ask for.
pub fn is_field_value(text: &str) -> bool {
    text.chars().all(|character| {
        character == '\t' || (' '..='\u{ff}').contains(&character) && character != '\u{7f}'
    })
}

/// Whether a header of a request is the host's alone, as in browsers
/// ([Fetch, forbidden request-header](https://fetch.spec.whatwg.org/#forbidden-request-header)).
pub fn is_forbidden_header(name: &str) -> bool {
    const FORBIDDEN: &[&str] = &[
        "accept-charset",
        "accept-encoding",
        "access-control-request-headers",
        "access-control-request-method",
        "access-control-request-private-network",
        "connection",
        "content-length",
        "cookie",
        "cookie2",
        "date",
        "dnt",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
    ];
    FORBIDDEN.contains(&name) || name.starts_with("proxy-") || name.starts_with("sec-")
}

/// The words for a status that came without any, as with HTTP/2
/// ([the registry](https://www.iana.org/assignments/http-status-codes)); nothing for one that isn't registered.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// Fields as the Fetch standard's `Headers` lists them ([sort and
/// combine](https://fetch.spec.whatwg.org/#concept-header-list-sort-and-combine)), so that they are alike on every host:
/// by name, what came several times in one line with a comma between, but each `set-cookie` in one of its own.
pub fn combined(fields: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut sorted = fields;
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut combined: Vec<(String, String)> = Vec::with_capacity(sorted.len());
    for (name, value) in sorted {
        match combined.last_mut() {
            Some((last, values)) if *last == name && name != SET_COOKIE => {
                values.push_str(", ");
                values.push_str(&value);
            }
            _ => combined.push((name, value)),
        }
    }
    combined
}

/// The one field that can't be combined with others of its name: a comma is part of its values
/// ([RFC 6265, section 3](https://www.rfc-editor.org/rfc/rfc6265#section-3)).
pub const SET_COOKIE: &str = "set-cookie";

/// A field's value without the white space around it, which is no part of it
/// ([Fetch, normalize](https://fetch.spec.whatwg.org/#concept-header-value-normalize)). What else Unicode calls white space is: as bytes
/// those are letters of other encodings.
pub fn trimmed(value: &str) -> &str {
    value.trim_matches(['\t', '\n', '\r', ' '])
}

/// A field's value, as it comes, as text: a character for each byte
/// ([isomorphic decode](https://infra.spec.whatwg.org/#isomorphic-decode)).
pub fn decoded(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes of a field's value that has a character for each; `None` where it has one that is more
/// ([isomorphic encode](https://infra.spec.whatwg.org/#isomorphic-encode)).
pub fn encoded(value: &str) -> Option<Vec<u8>> {
    let bytes = value.chars();
    let bytes = bytes.map(|character| u8::try_from(u32::from(character)).ok());
    bytes.collect()
}

/// The bytes of a field's value that has a character for each byte, as text where they are UTF-8.
pub fn as_utf8(value: &str) -> String {
    encoded(value)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_else(|| value.to_owned())
}

/// Whether a header that an agent set for one origin may go with a redirect to another: what describes the content that is
/// wanted or sent. Whatever else there is can be a secret between the agent and the first.
pub fn goes_to_other_origins(name: &str) -> bool {
    const HARMLESS: &[&str] = &[
        "accept",
        "accept-language",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "user-agent",
    ];
    HARMLESS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        fields.iter().map(owned).collect()
    }

    #[test]
    fn fields_are_combined() {
        let came = fields(&[
            ("x-b", "2"),
            ("set-cookie", "a=1, b"),
            ("x-a", "1"),
            ("x-b", "1"),
            ("set-cookie", "c=2"),
        ]);
        assert_eq!(
            combined(came),
            fields(&[
                ("set-cookie", "a=1, b"),
                ("set-cookie", "c=2"),
                ("x-a", "1"),
                ("x-b", "2, 1"),
            ])
        );
    }

    #[test]
    fn values_are_bytes() {
        let every: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(encoded(&decoded(&every)), Some(every));
        assert_eq!(encoded("\u{100}"), None);
        assert_eq!(
            trimmed(" \t\r\n\u{85}\u{a0}x\u{a0} "),
            "\u{85}\u{a0}x\u{a0}"
        );
    }

    #[test]
    fn values_are_utf8_where_they_can_be() {
        assert_eq!(as_utf8("/caf\u{c3}\u{a9}"), "/caf\u{e9}");
        assert_eq!(as_utf8("/caf\u{e9}"), "/caf\u{e9}");
        assert_eq!(as_utf8("/\u{20ac}"), "/\u{20ac}");
    }
}
