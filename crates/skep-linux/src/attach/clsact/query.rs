//! The filters that a parent has, of whatever kind and whoever made them; and taking one off.

use skep_host::{Errno, Error, Filter, FilterParent, Result};

use super::{
    DELETE_FILTER, DIRECT, FLAGS, ID, KIND, NAME, NEW_FILTER, OPTIONS, info, named, place,
};
use crate::netlink::{self, Netlink, attribute, attributes, word};

const ALL_FILTERS: u16 = 46;
/// Bytes of a `struct tcmsg`.
const HEADER: usize = 20;

pub(crate) fn filters(parent: FilterParent) -> Result<Vec<Filter>> {
    let netlink = Netlink::open().map_err(|errno| failed("list", parent, errno))?;
    ask(&netlink, parent).map_err(|errno| failed("list", parent, errno))
}

pub(crate) fn remove(filter: &Filter) -> Result<bool> {
    let fail = |errno| failed("take off", filter.parent, errno);
    let netlink = Netlink::open().map_err(fail)?;
    remove_by(&netlink, filter).map_err(fail)
}

fn failed(operation: &'static str, parent: FilterParent, errno: Errno) -> Error {
    Error::system(operation, format!("the filters of {parent}"), errno)
}

/// The filters of a parent: none if it, its device, or its discipline is lacking.
pub(super) fn ask(netlink: &Netlink, parent: FilterParent) -> Result<Vec<Filter>, Errno> {
    let (ifindex, handle) = named(parent)?;
    let body = place(ifindex, 0, handle, 0);
    let answers = netlink.ask(ALL_FILTERS, netlink::DUMP, &body)?;
    let filters = answers
        .iter()
        .filter(|(kind, _)| *kind == NEW_FILTER)
        .filter_map(|(_, body)| read(parent, body));
    Ok(filters.collect())
}

/// A filter of a message. A priority is told of once by itself, without a handle: that is none.
pub(super) fn read(parent: FilterParent, body: &[u8]) -> Option<Filter> {
    let mut filter = Filter::of(parent);
    filter.handle = word(body, 8).filter(|handle| *handle != 0)?;
    let info = word(body, 16)?;
    filter.priority = (info >> 16) as u16;
    filter.protocol = u16::from_be(info as u16);
    let attrs = body.get(HEADER..)?;
    let text = |value: &[u8]| {
        let text = String::from_utf8_lossy(value);
        text.trim_end_matches('\0').to_owned()
    };
    for (kind, value) in attributes(attrs) {
        match kind {
            KIND => filter.kind = text(value),
            OPTIONS if filter.kind == "bpf" => {
                for (kind, value) in attributes(value) {
                    match kind {
                        NAME => filter.name = text(value),
                        FLAGS => filter.direct = word(value, 0).unwrap_or(0) & DIRECT != 0,
                        ID => filter.program = word(value, 0),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(filter)
}

/// Whether a filter is there still, with the program that it had.
pub(super) fn is_there(netlink: &Netlink, filter: &Filter) -> Result<bool, Errno> {
    let all = ask(netlink, filter.parent)?;
    let place = |filter: &Filter| (filter.priority, filter.protocol, filter.handle);
    let mut same = all.iter().filter(|other| place(other) == place(filter));
    Ok(same.any(|other| other.kind == filter.kind && other.program == filter.program))
}

/// Takes a filter off; `false` if it is gone, or another has its place.
pub(super) fn remove_by(netlink: &Netlink, filter: &Filter) -> Result<bool, Errno> {
    if !is_there(netlink, filter)? {
        return Ok(false);
    }
    let (ifindex, parent) = named(filter.parent)?;
    let info = info(filter.priority, filter.protocol);
    let mut body = place(ifindex, filter.handle, parent, info);
    let kind = format!("{}\0", filter.kind);
    attribute(&mut body, KIND, kind.as_bytes());
    match netlink.ask(DELETE_FILTER, 0, &body) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT | Errno::ENODEV | Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: FilterParent = FilterParent::Block(7);

    /// A message as the kernel sends it of filter 0x2 of priority 10.
    fn message() -> Vec<u8> {
        let mut body = place(1, 2, 7, info(10, 3));
        attribute(&mut body, KIND, b"bpf\0");
        let mut options = Vec::new();
        attribute(&mut options, NAME, b"skep\0");
        attribute(&mut options, FLAGS, &DIRECT.to_ne_bytes());
        attribute(&mut options, ID, &55_u32.to_ne_bytes());
        attribute(&mut body, OPTIONS, &options);
        body
    }

    #[test]
    fn a_filter_is_read() {
        let filter = read(PARENT, &message()).unwrap();
        assert_eq!(
            (filter.priority, filter.handle, filter.protocol),
            (10, 2, 3)
        );
        assert_eq!(
            (filter.kind.as_str(), filter.name.as_str()),
            ("bpf", "skep")
        );
        assert_eq!((filter.program, filter.direct), (Some(55), true));
    }

    #[test]
    fn halves_of_messages_are_none_or_less() {
        let body = message();
        for end in 0..body.len() {
            if let Some(filter) = read(PARENT, &body[..end]) {
                assert!(filter.program.is_none(), "{end}");
            }
        }
        let priority = place(1, 0, 7, info(10, 3));
        assert_eq!(read(PARENT, &priority), None);
    }
}
