//! What is printed: one JSON object a figure, as every benchmark of this repository does.

use serde_json::{Value, json};

/// Prints a figure that is only informative.
pub fn tell(name: &str, value: f64, unit: &str) {
    print(json!({ "name": name, "value": round(value), "unit": unit, "pass": true }));
}

/// Prints what something is, beside the figures.
pub fn note(name: &str, text: &str) {
    print(json!({ "name": name, "value": text, "unit": "", "pass": true }));
}

/// Prints the median of these values with its interval; with a gate, at most that.
pub fn at_most(name: &str, values: &[f64], unit: &str, gate: Option<f64>) {
    let (low, median, high) = interval(values);
    print(json!({
        "name": name,
        "value": round(median),
        "unit": unit,
        "interval": [round(low), round(high)],
        "gate": gate.map(|gate| format!("<= {}", round(gate))),
        "pass": gate.is_none_or(|gate| median <= gate),
    }));
}

/// As [`at_most`], at least that.
pub fn at_least(name: &str, values: &[f64], unit: &str, gate: f64) {
    let (low, median, high) = interval(values);
    print(json!({
        "name": name,
        "value": round(median),
        "unit": unit,
        "interval": [round(low), round(high)],
        "gate": format!(">= {}", round(gate)),
        "pass": median >= gate,
    }));
}

/// Prints whether something holds.
pub fn holds(name: &str, what: &str, gate: &str, pass: bool) {
    print(json!({ "name": name, "value": what, "unit": "", "gate": gate, "pass": pass }));
}

/// The median, between the ends of its 95 % interval: order statistics, so nothing is assumed of the distribution.
pub fn interval(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (count, middle) = (sorted.len() as f64, sorted.len() / 2);
    let median = match sorted.len() {
        0 => return (0.0, 0.0, 0.0),
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    };
    let reach = 1.96 * count.sqrt() / 2.0;
    let low = (count / 2.0 - reach).floor().max(0.0) as usize;
    let high = ((count / 2.0 + reach).ceil() as usize).min(sorted.len() - 1);
    (sorted[low], median, sorted[high])
}

/// The value below which that share of the values lies.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0.0)
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn print(figure: Value) {
    println!("{figure}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_median_holds_it() {
        let values: Vec<f64> = (0..21).rev().map(f64::from).collect();
        assert_eq!(interval(&values), (6.0, 10.0, 15.0));
        assert_eq!(interval(&[3.0, 1.0]), (1.0, 2.0, 3.0));
        assert_eq!(interval(&[]), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99)), (3.0, 4.0));
    }
}
