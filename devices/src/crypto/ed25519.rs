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

/// Whether 32 bytes are a point of the curve, as a public key must be
/// ([RFC 8032, section 5.1.3](https://www.rfc-editor.org/rfc/rfc8032#section-5.1.3)). Engines look when they verify, if at all. As natively, y may
/// be written in a form that is not the shortest.
pub fn is_point(point: &[u8]) -> bool {
    let Ok(mut bytes) = <[u8; POINT]>::try_from(point) else {
        return false;
    };
    bytes[POINT - 1] &= 0x7f;
    let y2 = Field::read(bytes).square();
    // x² = (y² - 1) / (d y² + 1). As -1 / d is no square, what is divided by is not 0; and a quotient is a square where the product is one.
    let u = y2.minus(Field::ONE);
    let v = y2.times(Field::D).plus(Field::ONE);
    u.times(v).is_square()
}

/// Bits of a limb.
const LIMB: u32 = 51;
const LIMB_MASK: u64 = (1 << LIMB) - 1;

/// A number modulo 2^255 - 19, in five limbs of 51 bits and a little more. What it is used for is public: it takes as long as it takes.
#[derive(Clone, Copy)]
struct Field([u64; 5]);

impl Field {
    const ONE: Field = Field([1, 0, 0, 0, 0]);

    /// -121665 / 121666
    const D: Field = Field::read(
        *b"\xa3\x78\x59\x13\xca\x4d\xeb\x75\xab\xd8\x41\x41\x4d\x0a\x70\x00\x98\xe8\x79\x77\x79\x40\xc7\x8c\x73\xfe\x6f\x2b\xee\x6c\x03\x52",
    );

    /// Of 255 bits, the lowest first.
    const fn read(bytes: [u8; POINT]) -> Field {
        let mut limbs = [0; 5];
        let mut at = 0;
        while at < 255 {
            let bit = bytes[at / 8] >> (at % 8) & 1;
            limbs[at / LIMB as usize] |= (bit as u64) << (at % LIMB as usize);
            at += 1;
        }
        Field(limbs)
    }

    /// Moves what is above 51 bits of a limb to the next.
    fn carried(mut limbs: [u128; 5]) -> Field {
        for _ in 0..2 {
            for at in 0..5 {
                let above = limbs[at] >> LIMB;
                limbs[at] &= u128::from(LIMB_MASK);
                // 2^255 is 19.
                let factor = if at == 4 { 19 } else { 1 };
                limbs[(at + 1) % 5] += above * factor;
            }
        }
        Field(limbs.map(|limb| limb as u64))
    }

    fn plus(self, other: Field) -> Field {
        let mut sum = [0; 5];
        for (at, limb) in sum.iter_mut().enumerate() {
            *limb = u128::from(self.0[at]) + u128::from(other.0[at]);
        }
        Field::carried(sum)
    }

    fn minus(self, other: Field) -> Field {
        // Four times the prime first: no limb gets below 0.
        let mut difference = [0; 5];
        for (at, limb) in difference.iter_mut().enumerate() {
            let prime = if at == 0 { LIMB_MASK - 18 } else { LIMB_MASK };
            *limb = u128::from(self.0[at]) + 4 * u128::from(prime) - u128::from(other.0[at]);
        }
        Field::carried(difference)
    }

    fn times(self, other: Field) -> Field {
        let mut product = [0; 5];
        for (i, one) in self.0.into_iter().enumerate() {
            for (j, two) in other.0.into_iter().enumerate() {
                let factor = if i + j < 5 { 1 } else { 19 };
                product[(i + j) % 5] += u128::from(one) * u128::from(two) * factor;
            }
        }
        Field::carried(product)
    }

    fn square(self) -> Field {
        self.times(self)
    }

    /// The limbs of the number below the prime.
    fn least(self) -> [u64; 5] {
        // Below 2^255 and a little; then, where it is not below the prime, without it.
        let mut limbs = Field::carried(self.0.map(u128::from)).0;
        let prime = |at: usize| if at == 0 { LIMB_MASK - 18 } else { LIMB_MASK };
        let whole = (1..5).all(|at| limbs[at] == prime(at)) && limbs[0] >= prime(0);
        if whole {
            limbs = [limbs[0] - prime(0), 0, 0, 0, 0];
        }
        limbs
    }

    /// By Euler: 0, or 1 as its (p - 1) / 2 = 2^254 - 10th power.
    fn is_square(self) -> bool {
        // 2^254 - 10 is 249 ones, and then 10110.
        let mut power = Field::ONE;
        for bit in (0..254).rev() {
            power = power.square();
            if bit >= 5 || 0b10110 >> bit & 1 == 1 {
                power = power.times(self);
            }
        }
        let power = power.least();
        power == Field::ONE.0 || power == [0; 5]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_half_of_all_numbers_are_of_the_curve() {
        // The base point, and the points of small order, in whatever form.
        let base = [0x66; POINT - 1];
        assert!(is_point(&[&[0x58], &base[..]].concat()));
        for small in SMALL {
            assert!(is_point(&small), "{small:x?}");
        }
        // 2 is on it not.
        assert!(!is_point(&spread(2, 0, 0)));
        assert!(!is_point(&[0; POINT - 1]));
        assert!(!is_point(&[0; POINT + 1]));
    }
}
