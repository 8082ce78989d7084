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
        let whole = strsim::osa_distance(wrong, &row.name);
        // A target belongs to the wrong name only where the right one takes a target, too.
        let by_word = if row.name.contains('/') {
            whole
        } else {
            strsim::osa_distance(word, &row.name)
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
