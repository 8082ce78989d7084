//! What to say of a section name that is not known: the nearest one, and how known ones start.

use super::table::{TABLE, Target};

/// The first words of all names, for error messages.
pub(super) fn first_words() -> String {
    let mut words: Vec<&str> = Vec::new();
    for row in TABLE {
        let word = row.name.split(['/', '.']).next().unwrap_or_default();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(", ")
}

/// The known name nearest to a wrong one, by what precedes its target.
pub(super) fn suggestion(wrong: &str) -> Option<String> {
    // Names are short; what is longer is no slip of the keyboard.
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    let (word, rest) = match wrong.split_once('/') {
        Some((word, rest)) => (word, Some(rest)),
        None => (wrong, None),
    };
    let distances = TABLE.iter().map(|row| {
        let whole = edit_distance(wrong, &row.name);
        // A target belongs to the wrong name only where the right one takes a target, too.
        let by_word = if row.name.contains('/') {
            whole
        } else {
            edit_distance(word, &row.name)
        };
        (whole.min(by_word), by_word < whole, row)
    });
    let (distance, by_word, row) = distances.min_by_key(|(distance, ..)| *distance)?;
    let near = distance <= word.len().div_ceil(3);
    near.then(|| match (rest, row.target) {
        (Some(rest), Target::Optional) if by_word => format!("{}/{rest}", row.name),
        _ => row.name.to_string(),
    })
}

/// The number of letters to insert, drop, change or swap with the next to get from one word to the
/// other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut last_letter = None;
    for (done, letter) in (1_usize..).zip(from.chars()) {
        let mut row = vec![done];
        let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX);
        for (at, other) in (1_usize..).zip(&to) {
            let left = at.saturating_sub(1);
            let change = cell(&last, left).saturating_add(usize::from(letter != *other));
            let drop = cell(&last, at).saturating_add(1);
            let insert = cell(&row, left).saturating_add(1);
            let crossed = last_letter == Some(*other)
                && at.checked_sub(2).and_then(|before| to.get(before)) == Some(&letter);
            let swap = match at.checked_sub(2) {
                Some(at) if crossed => cell(&before, at).saturating_add(1),
                _ => usize::MAX,
            };
            row.push(change.min(drop).min(insert).min(swap));
        }
        before = std::mem::replace(&mut last, row);
        last_letter = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}
