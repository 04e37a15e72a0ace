//! What a signature of Ed25519 must not be made of.

/// Bytes of a point.
const POINT: usize = 32;

/// The y coordinates of the points whose order divides 8, and of those in forms that are not the shortest: 0, 1, -1, those of order 8, and
/// the prime and the prime and 1 ([RFC 8032, section 5.1.3](https://www.rfc-editor.org/rfc/rfc8032#section-5.1.3) says how a point is
/// written).
const SMALL: [[u8; POINT]; 7] = [
    spread(0, 0, 0),
    spread(1, 0, 0),
    spread(0xec, 0xff, 0x7f),
    spread(0xed, 0xff, 0x7f),
    spread(0xee, 0xff, 0x7f),
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

const fn spread(first: u8, middle: u8, last: u8) -> [u8; POINT] {
    let mut bytes = [middle; POINT];
    bytes[0] = first;
    bytes[POINT - 1] = last;
    bytes
}

/// Whether a public key, or the first half of a signature, is a point of small order: with one of those a signature can be good for many
/// messages, which nobody has signed. Engines differ in whether they look
/// ([Secure Curves in the Web Cryptography API](https://wicg.github.io/webcrypto-secure-curves/#ed25519-operations), verify, step 3).
pub fn is_small(point: &[u8]) -> bool {
    let Some(Ok(mut bytes)) = point.get(..POINT).map(<[u8; POINT]>::try_from) else {
        return false;
    };
    // The sign of the other coordinate.
    bytes[POINT - 1] &= 0x7f;
    SMALL.contains(&bytes)
}
