//! Durations (`250ms`, `1.5h`, `3d`) and instants (RFC 3339), to read and to write, without a calendar library.

/// Units of a duration and their length in ns, longest first; what is written uses the longest that fits.
const UNITS: [(&str, u64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const DAY_NS: i128 = 86_400_000_000_000;

/// Reads a number, perhaps with a fraction, and its unit; ns.
pub(super) fn duration(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let unit = if unit == "µs" { "us" } else { unit };
    let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10u128.pow(fraction.len() as u32);
    let parts = whole.parse::<u64>().ok()?;
    let ns = u128::from(parts) * u128::from(*unit_ns)
        + u128::from(fraction.parse::<u64>().ok()?) * u128::from(*unit_ns) / scale;
    u64::try_from(ns).ok()
}

/// Writes it in the longest unit that divides it.
pub(super) fn duration_text(ns: u64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    // Weeks are read and not written: people count days.
    let (name, unit_ns) =
        UNITS[1..].iter().find(|(_, unit_ns)| ns.is_multiple_of(*unit_ns)).unwrap_or(&("ns", 1));
    format!("{}{name}", ns / unit_ns)
}

/// Reads `2026-11-21`, `2026-11-21T08:15:00Z`, with a fraction, a blank for the `T`, an offset; ns since the
/// epoch. Without an offset it is UTC.
pub(super) fn instant(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', 't', ' ', '_']) {
        Some((date, time)) => (date, time),
        None => (text, "00:00:00Z"),
    };
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    let (time, offset_s) = split_offset(time)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (digits(time.next()?, 2)?, digits(time.next()?, 2)?);
    let second = time.next().map_or(Some(0), |second| digits(second, 2))?;
    if hour > 23 || minute > 59 || second > 59 || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let fraction_ns = digits(fraction, fraction.len())? * 10i64.pow(9 - fraction.len() as u32);
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    i64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(fraction_ns)).ok()
}

/// RFC 3339 in UTC, with as many fraction digits as needed.
pub fn instant_text(ns: i64) -> String {
    let days = i128::from(ns).div_euclid(DAY_NS);
    let in_day = i128::from(ns).rem_euclid(DAY_NS);
    let (year, month, day) = civil_from_days(days as i64);
    let (seconds, fraction) = (in_day / 1_000_000_000, in_day % 1_000_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction != 0 {
        text += format!(".{fraction:09}").trim_end_matches('0');
    }
    text + "Z"
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let fits = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// The time without its offset, and the offset in seconds east of UTC.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (time, offset) = time.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some((time, sign * (hours * 3_600 + minutes * 60)))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years begin in March here, so that the leap
/// day is the last of its year and month lengths follow one line.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instants() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500_000_000)),
            ("2026-11-21T09:00:00+01:00", Some(1_795_248_000_000_000_000)),
            ("2026-11-21 08:00:00", Some(1_795_248_000_000_000_000)),
            ("2026-11-21T08:00Z", Some(1_795_248_000_000_000_000)),
            ("1969-12-31T23:59:59Z", Some(-1_000_000_000)),
            ("2026-11-21", Some(1_795_219_200_000_000_000)),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-11-21T24:00:00Z", None),
            ("2026-11-21T08:00:00.Z", None),
            ("9999-01-01T00:00:00Z", None),
            ("26-1-1", None),
            ("", None),
        ] {
            assert_eq!(instant(text), ns, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, ns) in [
            ("250ms", Some(250_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("3d", Some(259_200_000_000_000)),
            ("2µs", Some(2_000)),
            ("1w", Some(604_800_000_000_000)),
            ("5", None),
            ("ms", None),
            (".5s", None),
            ("1.s", None),
            ("-1s", None),
            ("1 s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615s", None),
        ] {
            assert_eq!(duration(text), ns, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ns in any::<i64>(), length in any::<u64>(), unit in 0usize..8) {
            prop_assert_eq!(instant(&instant_text(ns)), Some(ns));
            prop_assert_eq!(duration(&duration_text(length)), Some(length));
            let round = length / UNITS[unit].1 * UNITS[unit].1;
            prop_assert_eq!(duration(&duration_text(round)), Some(round));
        }

        #[test]
        fn reading_is_total(text in "[-0-9.:TZ+wdhmsnu ]{0,30}") {
            let _ = (instant(&text), duration(&text));
        }
    }
}
