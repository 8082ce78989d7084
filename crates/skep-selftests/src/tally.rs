//! Verdicts counted: how many are as expected, and those that are not, by cause.

use std::{collections::BTreeMap, fmt};

use crate::Case;

/// How many verdicts are as expected.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Of those to be accepted.
    pub accepts: Score,
    /// Of those to be refused.
    pub rejects: Score,
    misses: Misses,
}

/// How many of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Right ones.
    pub right: u32,
    /// All.
    pub all: u32,
}

impl Score {
    /// Counts one.
    pub fn add(&mut self, right: bool) {
        self.right += u32::from(right);
        self.all += 1;
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.right, self.all)
    }
}

impl Tally {
    /// Counts a program, if something is expected of it.
    pub fn add(&mut self, case: &Case<'_>) {
        let (Some(expected), Some(right)) = (case.expected, case.is_right()) else {
            return;
        };
        match expected.accept {
            true => self.accepts.add(right),
            false => self.rejects.add(right),
        }
        if right {
            return;
        }
        let name = format!("{}/{}", case.object, case.program);
        if expected.accept {
            let list = self.misses.refused.entry(case.rule()).or_default();
            list.push((name, case.reason()));
        } else {
            // The last message is the one that refuses: those before it are of the way there.
            let message = expected
                .messages
                .last()
                .map_or("no message", String::as_str);
            let list = self.misses.accepted.entry(shape_of(message)).or_default();
            list.push(name);
        }
    }

    /// Those that are not as expected.
    pub fn misses(&self) -> &Misses {
        &self.misses
    }
}

/// Prints the totals.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accepts {}, rejects {}", self.accepts, self.rejects)
    }
}

/// Verdicts that are not as expected.
#[derive(Debug, Clone, Default)]
pub struct Misses {
    /// Accepted, and should not be: by the message that the test expects.
    pub accepted: BTreeMap<String, Vec<String>>,
    /// Refused, and should not be: by the rule, each with what was said.
    pub refused: BTreeMap<&'static str, Vec<(String, String)>>,
}

impl Misses {
    /// Adds those of another.
    pub fn extend(&mut self, other: &Self) {
        for (message, list) in &other.accepted {
            let known = self.accepted.entry(message.clone()).or_default();
            known.extend_from_slice(list);
        }
        for (rule, list) in &other.refused {
            self.refused
                .entry(rule)
                .or_default()
                .extend_from_slice(list);
        }
    }

    /// A line a cause, with how many there are.
    pub fn by_cause(&self) -> String {
        let refused = self.refused.iter().map(|(rule, list)| (list.len(), *rule));
        let mut text = lines("refused", refused);
        let accepted = self.accepted.iter();
        text += &lines(
            "accepted, though",
            accepted.map(|(message, list)| (list.len(), message.as_str())),
        );
        text
    }

    /// The same with the programs below each cause.
    pub fn in_full(&self) -> String {
        let mut text = String::new();
        for (rule, list) in &self.refused {
            text += &format!("{} refused: {rule}\n", list.len());
            for (program, reason) in list {
                text += &format!("      {program}: {reason}\n");
            }
        }
        for (message, list) in &self.accepted {
            text += &format!("{} accepted, though: {message}\n", list.len());
            for program in list {
                text += &format!("      {program}\n");
            }
        }
        text
    }
}

fn lines<'c>(what: &str, causes: impl Iterator<Item = (usize, &'c str)>) -> String {
    let mut causes: Vec<_> = causes.collect();
    causes.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let line = |(count, cause): &(usize, &str)| format!("{count:5} {what}: {cause}\n");
    causes.iter().map(line).collect()
}

/// A message without what differs between places: numbers.
fn shape_of(message: &str) -> String {
    let mut shape = String::new();
    for letter in message.chars() {
        match letter {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            letter => shape.push(letter),
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_kind_are_one_cause() {
        assert_eq!(shape_of("R1 off=16 size=4"), "R# off=# size=#");
        assert_eq!(shape_of("R10 off=-4 size=8"), "R# off=-# size=#");
    }
}
