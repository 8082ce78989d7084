//! [`Builder::append`]: the types of one BTF behind those of another, as linking objects begins.

use crate::words::{Reference, each_reference};
use crate::{Btf, Builder, Error, IdMap, Result, StringOffset, TypeId};

impl Builder {
    /// Copies every type of `other` behind those that are here, data sections and variables too,
    /// and says under which ids. Names are put into the string section once; strings that no type
    /// names (`.BTF.ext` refers to such) are not copied, see [`Builder::string`].
    ///
    /// Of split BTF the types that are not the base's are copied, into a builder made by
    /// [`Builder::split`] from the same base. Byte orders may differ.
    ///
    /// # Errors
    /// [`Error::UnwritableKind`], [`Error::TypeReference`] and [`Error::Name`] for types that can't be
    /// copied, [`Error::OtherBase`] when `other` continues something else than this builder does.
    /// The builder is then as it was.
    pub fn append(&mut self, other: &Btf) -> Result<IdMap> {
        let first = other.first_id();
        let same_base = first.0 == self.first_id && other.string_base() == self.strings.base();
        if other.base().is_some() && !same_base {
            return Err(Error::OtherBase {
                types: first.0.saturating_sub(1),
                expected: self.first_id.saturating_sub(1),
            });
        }
        let start = self.next_id();
        let last = u32::try_from(other.types().len()).ok();
        let fits = last.and_then(|count| start.0.checked_add(count));
        if fits.is_none() {
            return Err(Error::DoesNotFit {
                id: start,
                what: "the number of types",
            });
        }
        let new = |old: u32| match old.checked_sub(first.0) {
            Some(index) => start.0.wrapping_add(index),
            None => old,
        };
        let mut types = Vec::with_capacity(other.types().len());
        for found in other.types() {
            let mut words = Vec::new();
            other.checked_words(found, &mut words)?;
            types.push(words);
        }
        let mut strings = self.strings.clone();
        for (id, words) in (start.0..).map(TypeId).zip(&mut types) {
            each_reference(words, |_, what, word| {
                *word = match what {
                    Reference::Type => new(*word),
                    // The base's strings are the same ones here.
                    Reference::Name if *word < other.string_base() => *word,
                    Reference::Name => {
                        let text = other.string_bytes(StringOffset(*word));
                        strings.intern(text.unwrap_or_default()).0
                    }
                };
                Ok(())
            })?;
            strings.check_length(id)?;
        }
        self.strings = strings;
        self.types.append(&mut types);
        let ids = (first.0..=other.type_count()).map(new).collect();
        Ok(IdMap::new(first, ids))
    }
}
