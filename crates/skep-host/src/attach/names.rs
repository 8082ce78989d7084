//! Names of functions, in the form in which the kernel reads them.

use std::fmt;

/// Names of functions, one behind the other in one piece of memory, each with a zero behind it, and
/// where each is: all that the kernel is told.
///
/// There can be ten thousand, and to attach to them the kernel does nearly all of the work: what is
/// made here once need not be made again for each attachment. Made of any names by `collect`:
///
/// ```
/// let names: skep_host::FunctionNames = ["vfs_read", "vfs_write"].into_iter().collect();
/// assert_eq!(names.iter().collect::<Vec<_>>(), ["vfs_read", "vfs_write"]);
/// ```
#[derive(Default)]
pub struct FunctionNames {
    text: String,
    /// Where each begins in memory, that is, in `text`, which stays there when this is moved.
    addresses: Vec<u64>,
    /// Whether there is a zero within one.
    cut: bool,
}

impl FunctionNames {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let offset = |address: &u64| (address - self.base()) as usize;
        let each = self.addresses.iter().enumerate().map(move |(index, one)| {
            let behind = self.addresses.get(index + 1);
            let end = behind.map_or(self.text.len(), offset);
            // Without the zero.
            self.text.get(offset(one)..end.saturating_sub(1))
        });
        each.map(Option::unwrap_or_default)
    }

    /// Where each begins in memory, which ends with a zero. What is given is good as long as these
    /// names are neither changed nor dropped. `None` if there is a zero in one of them, which would
    /// end it there.
    pub fn addresses(&self) -> Option<&[u64]> {
        (!self.cut).then_some(&self.addresses)
    }

    fn base(&self) -> u64 {
        self.text.as_ptr().addr() as u64
    }

    fn push(&mut self, name: &str) {
        let before = self.base();
        let start = self.text.len() as u64;
        self.text.push_str(name);
        self.text.push('\0');
        let base = self.base();
        if base != before {
            // It has grown, to another place.
            for address in &mut self.addresses {
                *address = *address - before + base;
            }
        }
        self.addresses.push(base + start);
        self.cut |= name.contains('\0');
    }
}

impl Clone for FunctionNames {
    fn clone(&self) -> Self {
        self.iter().collect()
    }
}

impl PartialEq for FunctionNames {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for FunctionNames {}

impl<N: AsRef<str>> Extend<N> for FunctionNames {
    fn extend<I: IntoIterator<Item = N>>(&mut self, names: I) {
        for name in names {
            self.push(name.as_ref());
        }
    }
}

impl<N: AsRef<str>> FromIterator<N> for FunctionNames {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let mut all = Self::default();
        all.extend(names);
        all
    }
}

impl fmt::Debug for FunctionNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_where_they_are_said_to_be() {
        let names: FunctionNames = ["one", "", "three"].into_iter().collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names.iter().collect::<Vec<_>>(), ["one", "", "three"]);
        assert_eq!(names.text, "one\0\0three\0");
        assert_eq!(offsets(&names), [0, 4, 5]);
        assert_eq!(format!("{names:?}"), r#"["one", "", "three"]"#);
        let none = FunctionNames::default();
        assert!(none.is_empty() && none.addresses() == Some(&[]));
    }

    #[test]
    fn addresses_stay_right_when_names_grow_move_and_are_copied() {
        let mut names = FunctionNames::default();
        let words: Vec<String> = (0..1000)
            .map(|number| format!("function_{number}"))
            .collect();
        let mut starts = Vec::new();
        for word in &words {
            starts.push(names.text.len() as u64);
            names.extend([word]);
        }
        let copy = names.clone();
        let moved = Box::new(names);
        assert_ne!(copy.addresses(), moved.addresses());
        for names in [&copy, &*moved] {
            assert_eq!(offsets(names), starts);
            assert!(names.iter().eq(words.iter()));
        }
        assert_eq!(copy, *moved);
        assert_ne!(copy, words.iter().skip(1).collect());
    }

    /// Where they begin in their text, by their addresses in memory.
    fn offsets(names: &FunctionNames) -> Vec<u64> {
        let base = names.text.as_ptr().addr() as u64;
        let addresses = names.addresses().unwrap();
        addresses.iter().map(|address| address - base).collect()
    }

    #[test]
    fn a_zero_in_a_name_is_no_end() {
        let names: FunctionNames = ["do_\0open", "close"].into_iter().collect();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["do_\0open", "close"]);
        assert_eq!(names.addresses(), None);
    }
}
