//! The order among the programs of one hook: tcx, netkit and cgroups run several in a row.

use std::str::FromStr;

/// Where among the programs of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Position {
    /// After all that is there.
    #[default]
    Last,
    /// Before all that is there.
    First,
    /// Before the program with this id; on cgroups, one that is there without a link.
    BeforeProgram(u32),
    /// After the program with this id; on cgroups, one that is there without a link.
    AfterProgram(u32),
    /// Before the link with this id.
    BeforeLink(u32),
    /// After the link with this id.
    AfterLink(u32),
}

/// A place in a hook's order, and on what condition it is taken.
///
/// Tcx has it since 6.6, netkit since 6.7, cgroups since 6.17. The default is the last place,
/// whatever else is there, which every kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Order {
    /// Where.
    pub position: Position,
    /// The hook's revision, as a query gave it, that must still hold; 0 for any. Where others
    /// came or went in between, attaching fails with `ESTALE`.
    #[doc(alias = "expected_revision")]
    pub revision: u64,
    /// Among the programs of a cgroup that run before all others, those of ancestors first.
    /// Cgroups alone; since 6.15.
    #[doc(alias = "BPF_F_PREORDER")]
    pub preorder: bool,
}

impl From<Position> for Order {
    fn from(position: Position) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }
}

impl FromStr for Position {
    type Err = String;

    /// Reads `first`, `last`, `before:program:ID`, `after:link:ID`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no place among others: write `first`, `last`, `before:link:7`, or \
                 `after:program:12`, with an id"
            )
        };
        let parts: Vec<&str> = text.split(':').collect();
        let id = |text: &str| text.parse::<u32>().map_err(|_| wrong());
        Ok(match parts.as_slice() {
            ["first"] => Self::First,
            ["last"] => Self::Last,
            ["before", "program", number] => Self::BeforeProgram(id(number)?),
            ["after", "program", number] => Self::AfterProgram(id(number)?),
            ["before", "link", number] => Self::BeforeLink(id(number)?),
            ["after", "link", number] => Self::AfterLink(id(number)?),
            _ => return Err(wrong()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read() {
        assert_eq!("first".parse(), Ok(Position::First));
        assert_eq!("last".parse(), Ok(Position::Last));
        assert_eq!("before:program:12".parse(), Ok(Position::BeforeProgram(12)));
        assert_eq!("after:link:7".parse(), Ok(Position::AfterLink(7)));
        for text in [
            "",
            "before",
            "before:link",
            "after:map:1",
            "before:link:x",
            "first:1",
        ] {
            let error = text.parse::<Position>().unwrap_err();
            assert!(error.starts_with(&format!("`{text}` ")), "{error}");
        }
    }
}
