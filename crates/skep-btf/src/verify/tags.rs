//! The order of type tags: in a chain of typedefs, qualifiers and tags, tags come first.

use super::resolve::is_modifier;
use super::{Fault, Refused};
use crate::{Btf, KindTag, Place, TypeId};

/// How long a chain may be.
const LONGEST: u32 = 32;

/// Looks along the chain from each type, up to one that was looked at already: an earlier one.
pub(super) fn check(btf: &Btf) -> Result<(), Refused> {
    let mut good = TypeId::VOID;
    for found in btf.types().filter(|found| is_modifier(found.tag())) {
        chain(btf, found.id(), good).map_err(|why| Refused {
            place: Some(Place {
                offset: found.data_offset(),
                type_id: Some(found.id()),
            }),
            why,
        })?;
        good = found.id();
    }
    Ok(())
}

fn chain(btf: &Btf, from: TypeId, good: TypeId) -> Result<(), Fault> {
    let mut now = from;
    let mut tags = true;
    for _ in 0..LONGEST {
        let found = btf.type_by_id(now).map_err(Fault::Unreadable)?;
        match found.tag() {
            Some(KindTag::TypeTag) if !tags => return Err(Fault::TagOrder),
            Some(KindTag::TypeTag) => {}
            tag if is_modifier(tag) => tags = false,
            _ => return Ok(()),
        }
        if now <= good {
            return Ok(());
        }
        now = TypeId(found.third());
    }
    let end = btf.type_by_id(now).map_err(Fault::Unreadable)?;
    match is_modifier(end.tag()) {
        true => Err(Fault::LongChain),
        false => Ok(()),
    }
}
