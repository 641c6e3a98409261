//! Durations and instants as people read them.

use hopscope_model::query::instant_text;

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
    let (second, of_second) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let whole = instant_text(second.saturating_mul(1_000_000_000));
    format!("{}.{:03}", whole.trim_end_matches('Z').replace('T', " "), of_second / 1_000_000)
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
