//! Sizes and lengths of time as people write them: in grants, in manifests, on the command line.

/// Reads a number of bytes: `4096`, `64KiB`, `1.5MB`.
pub fn size(text: &str) -> Option<u64> {
    const UNITS: &[(&str, u64)] = &[
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    with_unit(text, UNITS)
}

/// Reads a length of time, in milliseconds: `500ms`, `10s`, `1.5m`, `1h`.
pub fn millis(text: &str) -> Option<u64> {
    const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    with_unit(text, UNITS)
}

/// A number and a unit. Fractions are taken where they come out even: `1.5KiB`.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let (_, unit) = units.iter().find(|(name, _)| *name == unit.trim())?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*unit);
    }
    let value = number.parse::<f64>().ok()? * *unit as f64;
    (value.fract() == 0.0 && value < 2f64.powi(53)).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_units() {
        assert_eq!(
            [size("4096"), size("64KiB"), size("1.5 MB")],
            [4096, 64 << 10, 1_500_000].map(Some)
        );
        assert_eq!(
            [millis("200ms"), millis("1.5s"), millis("2m"), millis("1h")],
            [200, 1_500, 120_000, 3_600_000].map(Some)
        );
        for bad in [
            "",
            "x",
            "-1",
            "1.0001KiB",
            "99999999999GiB",
            "64M",
            "1..5B",
            "5 s s",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
        for bad in ["5", "", "ms", "-5s", "0.5ms", "1d"] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }
}
