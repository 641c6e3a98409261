//! Durations and instants as people read them.

/// At most three significant parts: `850 ns`, `2.1 ms`, `1.50 s`, `6 h 12 m`. Negative values keep their sign.
pub fn short_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let (minute, hour, day) = (60_000_000_000, 3_600_000_000_000, 86_400_000_000_000);
    let text = match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        1_000_000_000..60_000_000_000 => format!("{:.2} s", ns as f64 / 1e9),
        _ if ns < hour => format!("{} m {} s", ns / minute, ns % minute / 1_000_000_000),
        _ if ns < day => format!("{} h {} m", ns / hour, ns % hour / minute),
        _ => format!("{} d {} h", ns / day, ns % day / hour),
    };
    format!("{sign}{text}")
}

/// `2026-11-21 06:42:07.118` in UTC.
pub fn clock(ns: i64) -> String {
    let millis = ns.div_euclid(1_000_000);
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, thousandths) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}")
}

/// Days since 1970-01-01 to year, month, day of the proleptic Gregorian calendar: counts from 1 March of year 0, so
/// that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_fitting_unit() {
        let second = 1_000_000_000;
        for (ns, text) in [
            (0, "0 ns"),
            (850, "850 ns"),
            (2_100_000, "2.1 ms"),
            (1_500 * 1_000_000, "1.50 s"),
            (61 * second, "1 m 1 s"),
            (22_320 * second, "6 h 12 m"),
            (90_000 * second, "1 d 1 h"),
            (-2_100_000, "-2.1 ms"),
        ] {
            assert_eq!(short_duration(ns), text);
        }
    }

    #[test]
    fn instants_are_utc_to_the_millisecond() {
        for (ns, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_000_000_000, "2000-02-29 00:00:00.000"),
            (1_795_243_117_219_359_043, "2026-11-21 06:38:37.219"),
            (-1, "1969-12-31 23:59:59.999"),
        ] {
            assert_eq!(clock(ns), text);
        }
    }
}
