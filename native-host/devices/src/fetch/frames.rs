//! The frames of HTTP/2, counted as they come: each costs this machine about as much, whatever is in it, and a server can fit
//! very many into few bytes.

/// Bytes in front of each frame ([RFC 9113, section 4.1](https://www.rfc-editor.org/rfc/rfc9113#section-4.1)).
const HEADER: usize = 9;

/// Where in its frames a connection is.
#[derive(Debug, Default)]
pub struct Frames {
    /// The length of the frame that begins, as far as it has come.
    length: usize,
    /// Bytes of its header that have come.
    header: usize,
    /// Bytes of the last frame that are still to come.
    payload: usize,
}

impl Frames {
    /// Sees the bytes that come next; how many frames begin in them.
    pub fn see(&mut self, mut bytes: &[u8]) -> usize {
        let mut begun = 0;
        loop {
            let count = self.payload.min(bytes.len());
            self.payload -= count;
            bytes = &bytes[count..];
            let Some((first, rest)) = bytes.split_first() else {
                return begun;
            };
            bytes = rest;
            // Of a header only the length matters here, which comes first: 24 bits.
            if self.header < 3 {
                self.length = self.length << 8 | usize::from(*first);
            }
            self.header += 1;
            if self.header == HEADER {
                begun += 1;
                *self = Frames {
                    payload: self.length,
                    ..Frames::default()
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of so many bytes, which look like the header of a huge one.
    fn frame(length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([0xff; 6]);
        frame.extend(vec![0xff; length]);
        frame
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let lengths = [0, 17, 0, 0, 1, 70_000, 255, 256, 65_536, 0];
        let bytes: Vec<u8> = lengths.into_iter().flat_map(frame).collect();
        for piece in [1, 2, 8, 9, 10, 1_000, usize::MAX] {
            let mut frames = Frames::default();
            let counted: usize = bytes.chunks(piece).map(|part| frames.see(part)).sum();
            assert_eq!(counted, lengths.len(), "{piece}");
            assert_eq!((frames.header, frames.payload), (0, 0), "{piece}");
        }
        // One whose end is still to come has begun.
        let mut frames = Frames::default();
        assert_eq!(frames.see(&frame(10)[..HEADER - 1]), 0);
        assert_eq!(frames.see(&frame(10)[HEADER - 1..HEADER + 5]), 1);
        assert_eq!(
            frames.see(&[&frame(10)[HEADER + 5..], &frame(0)].concat()),
            1
        );
    }
}
