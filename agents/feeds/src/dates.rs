//! The two forms of dates that feeds have, as seconds since 1970.

/// The day of a time: `2026-01-31`.
pub fn day(seconds: i64) -> String {
    let text = cap::rfc3339(seconds);
    text.split('T').next().unwrap_or_default().to_owned()
}

/// Reads [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339) (Atom) or
/// [RFC 2822](https://www.rfc-editor.org/rfc/rfc2822#section-3.3) (RSS); `None` for what is neither.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    rfc3339(text).or_else(|| rfc2822(text))
}

fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut fields = date.split('-');
    let (year, month, day) = (
        number(fields.next()?)?,
        number(fields.next()?)?,
        number(fields.next()?)?,
    );
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let offset = if zone.eq_ignore_ascii_case("z") {
        0
    } else {
        zone_offset(&zone.replace(':', ""))?
    };
    Some(days(year, month, day)? * 86_400 + clock_seconds(clock)? - offset)
}

fn rfc2822(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    // The day of the week may be left out.
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut fields = text.split_whitespace();
    let day = number(fields.next()?)?;
    let name = fields.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| name.starts_with(month))? as i64 + 1;
    let year = match number(fields.next()?)? {
        year @ 0..50 => year + 2000,
        year @ 50..100 => year + 1900,
        year => year,
    };
    let clock = clock_seconds(fields.next()?)?;
    let offset = match fields.next().unwrap_or("GMT") {
        "GMT" | "UT" | "UTC" | "Z" => 0,
        "EDT" => -4 * 3_600,
        "EST" | "CDT" => -5 * 3_600,
        "CST" | "MDT" => -6 * 3_600,
        "MST" | "PDT" => -7 * 3_600,
        "PST" => -8 * 3_600,
        zone => zone_offset(zone)?,
    };
    Some(days(year, month, day)? * 86_400 + clock - offset)
}

/// Seconds of `+hhmm` or `-hhmm`.
fn zone_offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    Some(sign * (number(hours)? * 3_600 + number(minutes)? * 60))
}

/// Seconds of `hh:mm` or `hh:mm:ss`, fractions left out.
fn clock_seconds(clock: &str) -> Option<i64> {
    let mut fields = clock.split('.').next()?.split(':');
    let (hours, minutes) = (number(fields.next()?)?, number(fields.next()?)?);
    let seconds = fields.next().map_or(Some(0), number)?;
    (hours < 24 && minutes < 60 && seconds <= 60).then_some(hours * 3_600 + minutes * 60 + seconds)
}

fn number(text: &str) -> Option<i64> {
    let digits =
        !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// Days since 1970; see Howard Hinnant's
/// [`days_from_civil`](https://howardhinnant.github.io/date_algorithms.html#days_from_civil).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        assert_eq!(parse("2026-01-31T09:05:00Z"), Some(1_769_850_300));
        assert_eq!(parse("2026-01-31T10:05:00.25+01:00"), Some(1_769_850_300));
        assert_eq!(parse("Sat, 31 Jan 2026 09:05:00 GMT"), Some(1_769_850_300));
        assert_eq!(parse("31 Jan 26 04:05 EST"), Some(1_769_850_300));
        assert_eq!(
            parse("Sat, 31 Jan 2026 08:05:00 -0100"),
            Some(1_769_850_300)
        );
        assert_eq!(day(1_769_850_300), "2026-01-31");
    }

    #[test]
    fn what_is_no_date() {
        for bad in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "1 Foo 2026 00:00:00 GMT",
            "1 Jan 2026 25:00 GMT",
            "ä026-01-31T",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
