//! Tells the time in UTC, once a second, as often as its argument says (5 times without one).

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() {
    let ticks = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(5u64);
    for tick in 0..ticks {
        if tick > 0 {
            sleep(until_next_second());
        }
        let seconds = since_epoch().as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        println!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC");
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn until_next_second() -> Duration {
    Duration::from_nanos(1_000_000_000 - u64::from(since_epoch().subsec_nanos()))
}

/// The Gregorian date of a day counted from 1970-01-01.
///
/// Years are counted from March here, so that the leap day is a year's last.
fn date(days_since_epoch: u64) -> (u64, u64, u64) {
    const DAYS_TO_EPOCH: u64 = 719_468; // from 0000-03-01
    const DAYS_IN_ERA: u64 = 146_097; // 400 years
    let days = days_since_epoch + DAYS_TO_EPOCH;
    let era = days / DAYS_IN_ERA;
    let day_of_era = days % DAYS_IN_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}
