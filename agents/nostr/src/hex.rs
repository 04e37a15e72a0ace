//! Bytes in hexadecimal, lower case as Nostr has it.

/// `N` bytes as text.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `N` bytes from their text; none if it is another number of them, or not in lower case.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(encode(&[0, 0xa1, 0xff]), "00a1ff");
        assert_eq!(decode::<3>("00a1ff"), Some([0, 0xa1, 0xff]));
        for bad in ["00a1f", "00a1fF", "00a1ff0", "00a1+f", "ä0a1f"] {
            assert_eq!(decode::<3>(bad), None, "{bad}");
        }
    }
}
