//! Histograms of powers of two, as arrays tagged `skep:histogram=UNIT` hold them.

use std::fmt::Write as _;

/// The widest bar, in characters.
const BAR: usize = 40;

/// Draws the slots from the first to the last that counted anything.
///
/// Slot `i` counts values from 2^i to before 2^(i+1); slot 0 zeroes, too.
pub(crate) fn draw(title: &str, unit: &str, slots: &[u64]) -> String {
    let mut out = String::new();
    let heading = if unit.is_empty() {
        title.to_owned()
    } else {
        format!("{title}, {unit}")
    };
    let total: u64 = slots.iter().sum();
    let first = slots.iter().position(|count| *count > 0);
    let last = slots.iter().rposition(|count| *count > 0);
    let (Some(first), Some(last)) = (first, last) else {
        let _ = writeln!(out, "{heading}: nothing was counted");
        return out;
    };
    let highest = slots[first..=last]
        .iter()
        .copied()
        .max()
        .unwrap_or(1)
        .max(1);
    let ranges: Vec<String> = (first..=last).map(range).collect();
    let width = ranges
        .iter()
        .map(|range| range.chars().count())
        .max()
        .unwrap_or(0);
    let counts = slots[first..=last]
        .iter()
        .map(|count| count.to_string().len())
        .max()
        .unwrap_or(0);
    let right = width + 4 + BAR + counts.max(5);
    let _ = writeln!(
        out,
        "{heading}{:>fill$}",
        "count",
        fill = right.saturating_sub(heading.chars().count())
    );
    for (range, count) in ranges.iter().zip(&slots[first..=last]) {
        let filled = (u128::from(*count) * BAR as u128).div_ceil(u128::from(highest)) as usize;
        let _ = writeln!(
            out,
            "{range:>width$}  |{bar:<BAR$} {count:>counts$}",
            bar = "@".repeat(filled),
            counts = counts.max(5),
        );
    }
    let quantile = |share: f64| scaled(quantile(slots, share));
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    };
    let _ = writeln!(
        out,
        "{total} values · p50 ≤ {}{unit} · p99 ≤ {}{unit} · max ≤ {}{unit}",
        quantile(0.50),
        quantile(0.99),
        scaled(upper(last)),
    );
    out
}

/// The largest value that slot `i` counts.
fn upper(slot: usize) -> u64 {
    u64::MAX
        .checked_shr(63_u32.saturating_sub(slot as u32))
        .unwrap_or(u64::MAX)
}

fn range(slot: usize) -> String {
    let low = if slot == 0 {
        0
    } else {
        1_u64.checked_shl(slot as u32).unwrap_or(u64::MAX)
    };
    format!("{} → {}", scaled(low), scaled(upper(slot)))
}

/// The upper end of the slot in which the share of all values is reached.
pub(crate) fn quantile(slots: &[u64], share: f64) -> u64 {
    let total: u64 = slots.iter().sum();
    let wanted = (total as f64 * share).ceil() as u64;
    let mut seen = 0;
    for (slot, count) in slots.iter().enumerate() {
        seen += count;
        if seen >= wanted && seen > 0 {
            return upper(slot);
        }
    }
    0
}

/// 4095, 64k, 1M: as short as it can be said exactly enough for a range's end.
fn scaled(value: u64) -> String {
    const STEPS: [(u64, &str); 4] = [
        (1 << 40, "T"),
        (1 << 30, "G"),
        (1 << 20, "M"),
        (1 << 10, "k"),
    ];
    if value < 10_000 {
        return value.to_string();
    }
    for (step, letter) in STEPS {
        if value >= step - 1 {
            return format!("{}{letter}", value.div_ceil(step));
        }
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_relative_to_the_highest() {
        let text = draw("latency", "us", &[0, 4, 8, 0, 2]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["latency,", "us", "count"]
        );
        assert!(lines[1].contains("2 → 3  |@@@@@@@@@@@@@@@@@@@@ "), "{text}");
        assert!(
            lines[2].contains("4 → 7") && lines[2].contains(&"@".repeat(40)),
            "{text}"
        );
        assert!(lines[4].contains("16 → 31"), "{text}");
        assert_eq!(
            lines[5],
            "14 values · p50 ≤ 7 us · p99 ≤ 31 us · max ≤ 31 us"
        );
        let widths: Vec<usize> = lines[..5].iter().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }

    #[test]
    fn nothing_counted_is_said() {
        assert_eq!(
            draw("sizes", "bytes", &[0; 8]),
            "sizes, bytes: nothing was counted\n"
        );
    }

    #[test]
    fn the_last_slot_does_not_overflow() {
        let mut slots = [0; 64];
        slots[63] = u64::MAX;
        assert!(draw("x", "", &slots).contains('@'));
    }
}
