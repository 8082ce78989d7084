//! The loaded BTF of a kernel's modules: opened by a walk over all ids, as there is no other way to
//! a descriptor of it.

use std::collections::BTreeMap;

use skep_abi::Command;

use crate::{BtfFd, Errno, Error, Host, ObjectId, Result};

/// Opens the BTF of these modules, by name.
///
/// # Errors
/// One is not loaded, or has no BTF; or this process may not walk the ids (`CAP_SYS_ADMIN`).
pub fn open_modules<H: Host + ?Sized>(
    host: &H,
    wanted: &[&str],
) -> Result<BTreeMap<String, BtfFd>> {
    let mut open = BTreeMap::new();
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut id = ObjectId::Btf(0);
    while open.len() < wanted.len() {
        let Some(next) = host.next_id(id)? else {
            let missing = wanted.iter().find(|name| !open.contains_key(**name));
            return Err(Error::command(
                Command::BtfGetFdById,
                format!("the BTF of module `{}`", missing.unwrap_or(&"")),
                Errno::ENOENT,
            ));
        };
        id = next;
        let ObjectId::Btf(number) = next else {
            break;
        };
        if let Some(btf) = host.btf_by_id(number, None)? {
            let info = host.btf_info(&btf)?;
            if info.kernel && wanted.contains(&info.name.as_str()) {
                open.insert(info.name, btf);
            }
        }
    }
    Ok(open)
}
