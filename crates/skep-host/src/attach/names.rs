//! Names of functions, in the form in which the kernel reads them.

use std::fmt;

/// Names of functions, one behind the other in one piece of memory, each with a zero behind it.
///
/// There can be ten thousand, and to attach to them the kernel does nearly all of the work: what is
/// made here once need not be made again for each attachment. Made of any names by `collect`:
///
/// ```
/// let names: skep_host::FunctionNames = ["vfs_read", "vfs_write"].into_iter().collect();
/// assert_eq!(names.iter().collect::<Vec<_>>(), ["vfs_read", "vfs_write"]);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FunctionNames {
    text: String,
    /// Where each begins.
    starts: Vec<usize>,
}

impl FunctionNames {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let each = self.starts.iter().enumerate().map(|(index, start)| {
            let behind = self.starts.get(index + 1);
            let end = behind.copied().unwrap_or(self.text.len());
            // Without the zero.
            self.text.get(*start..end.saturating_sub(1))
        });
        each.map(Option::unwrap_or_default)
    }

    /// Where each begins in memory, which ends with a zero. What is given is good as long as these
    /// names are neither changed nor dropped. `None` if there is a zero in one of them, which would
    /// end it there.
    pub fn addresses(&self) -> Option<Vec<u64>> {
        let zeroes = self.text.bytes().filter(|byte| *byte == 0).count();
        let text = self.text.as_ptr().addr() as u64;
        let address = |start: &usize| text + *start as u64;
        (zeroes == self.len()).then(|| self.starts.iter().map(address).collect())
    }
}

impl<N: AsRef<str>> Extend<N> for FunctionNames {
    fn extend<I: IntoIterator<Item = N>>(&mut self, names: I) {
        for name in names {
            self.starts.push(self.text.len());
            self.text.push_str(name.as_ref());
            self.text.push('\0');
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
        let addresses = names.addresses().unwrap();
        let offsets = addresses.iter().map(|at| at - addresses[0]);
        assert_eq!(offsets.collect::<Vec<_>>(), [0, 4, 5]);
        assert_eq!(format!("{names:?}"), r#"["one", "", "three"]"#);
        let none = FunctionNames::default();
        assert!(none.is_empty() && none.addresses() == Some(Vec::new()));
    }

    #[test]
    fn a_zero_in_a_name_is_no_end() {
        let names: FunctionNames = ["do_\0open", "close"].into_iter().collect();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["do_\0open", "close"]);
        assert_eq!(names.addresses(), None);
    }
}
