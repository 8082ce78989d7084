//! [`Builder::retain`]: types are taken away, and what is left closes ranks.

use crate::words::{Reference, each_reference};
use crate::{Builder, Error, IdMap, Result, TypeId};

impl Builder {
    /// Takes away the types that `keep` does not want (it is asked of each once, by id), and says
    /// under which ids the others are. Strings stay where they are.
    ///
    /// # Errors
    /// [`Error::NoSuchType`] when a type that is kept refers to one that is not; the builder is then
    /// as it was.
    pub fn retain(&mut self, mut keep: impl FnMut(TypeId) -> bool) -> Result<IdMap> {
        let first = TypeId(self.first_id);
        let mut next = first.0;
        let mut ids = Vec::with_capacity(self.types.len());
        for (old, _) in (first.0..).zip(&self.types) {
            let kept = keep(TypeId(old));
            ids.push(if kept { next } else { 0 });
            next = next.saturating_add(kept.into());
        }
        let ids = IdMap::new(first, ids);

        let last = TypeId(self.next_id().0.saturating_sub(1));
        let mut types = Vec::with_capacity(self.types.len());
        for (old, words) in (first.0..).zip(&self.types) {
            if ids.get(TypeId(old)).is_none() {
                continue;
            }
            let mut words = words.clone();
            each_reference(&mut words, |_, what, word| {
                if what == Reference::Type {
                    let id = TypeId(*word);
                    *word = ids.get(id).ok_or(Error::NoSuchType { id, last })?.0;
                }
                Ok(())
            })?;
            types.push(words);
        }
        self.types = types;
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Btf, Builder, Error, IntEncoding, TypeId};

    #[test]
    fn what_is_left_keeps_its_meaning() {
        let mut types = Builder::new();
        let gone = types.int("gone", 4, IntEncoding::SIGNED);
        let int = types.int("int", 4, IntEncoding::SIGNED);
        let also_gone = types.pointer(gone);
        let pointer = types.pointer(int);
        let ids = types.retain(|id| id == int || id == pointer).unwrap();
        assert_eq!(ids.get(int), Some(TypeId(1)));
        assert_eq!(ids.get(pointer), Some(TypeId(2)));
        assert_eq!((ids.get(gone), ids.get(also_gone)), (None, None));
        assert_eq!(ids.get(TypeId::VOID), Some(TypeId::VOID));
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        assert_eq!(btf.type_count(), 2);
        assert_eq!(btf.type_name(TypeId(2)).unwrap(), "int *");
    }

    #[test]
    fn nothing_refers_to_what_is_gone() {
        let mut types = Builder::new();
        let int = types.int("int", 4, IntEncoding::SIGNED);
        let pointer = types.pointer(int);
        let before = types.build().unwrap();
        let error = types.retain(|id| id == pointer).unwrap_err();
        assert_eq!(
            error,
            Error::NoSuchType {
                id: int,
                last: pointer
            }
        );
        assert_eq!(types.build().unwrap(), before);
    }
}
