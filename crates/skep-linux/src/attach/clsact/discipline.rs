//! The queueing discipline `clsact` of a device, which filters need: it is made if the device has
//! none, and what this process made it takes off again with its last filter, if no others are on it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use skep_host::{Cause, Errno, FilterParent, TcxDirection};

use super::{CLSACT, KIND, place, query};
use crate::{
    attach::Refusal,
    netlink::{self, Netlink, attribute},
};

const NEW_DISCIPLINE: u16 = 36;
const DELETE_DISCIPLINE: u16 = 37;
/// The discipline's own handle.
const HANDLE: u32 = 0xffff_0000;

/// A device: its index, in its network namespace.
type Device = (u64, u32);

/// The disciplines that this process made, and how many of its filters are on each.
static MADE: Mutex<BTreeMap<Device, usize>> = Mutex::new(BTreeMap::new());

fn made() -> MutexGuard<'static, BTreeMap<Device, usize>> {
    // The table is whole between any two statements.
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a discipline of this process's for a filter. Dropped, it is no longer counted, and the
/// discipline is left alone; [`release`](Self::release) takes it off.
#[derive(Debug)]
pub(super) struct Hold {
    /// `None` for a discipline of someone else's.
    of: Option<Device>,
    ifindex: u32,
}

/// Makes the device's discipline, if it has none.
pub(super) fn hold(netlink: &Netlink, ifindex: u32) -> Result<Hold, Refusal> {
    // The netlink socket was opened by this thread: it is in this namespace, too.
    let namespace = fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino());
    let device = (namespace, ifindex);
    let mut made = made();
    let mut body = place(ifindex, HANDLE, CLSACT, 0);
    attribute(&mut body, KIND, b"clsact\0");
    let flags = netlink::CREATE | netlink::EXCLUSIVE;
    match netlink.ask(NEW_DISCIPLINE, flags, &body) {
        // Where an earlier one was counted, someone took it off, and its filters with it; but those who
        // put them there have not let go yet.
        Ok(_) => *made.entry(device).or_default() += 1,
        Err(Errno::EEXIST) => match made.get_mut(&device) {
            Some(count) => *count += 1,
            None => return Ok(Hold { of: None, ifindex }),
        },
        Err(errno @ Errno::ENOENT) => {
            let cause = Cause::KernelOption("CONFIG_NET_SCH_INGRESS");
            return Err(Refusal::because(errno, cause));
        }
        Err(errno) => return Err(errno.into()),
    }
    Ok(Hold {
        of: Some(device),
        ifindex,
    })
}

impl Hold {
    /// One filter of this process's is gone. With the last one the discipline goes, if it has no
    /// filters of others; one that comes just then goes with it, since the kernel has no way to ask.
    pub(super) fn release(mut self, netlink: &Netlink) -> Result<(), Errno> {
        let mut made = made();
        if !forget(&mut made, self.of.take()) {
            return Ok(());
        }
        for direction in [TcxDirection::Ingress, TcxDirection::Egress] {
            let ifindex = self.ifindex;
            let there = query::ask(netlink, FilterParent::Device { ifindex, direction });
            if !there.is_ok_and(|filters| filters.is_empty()) {
                return Ok(());
            }
        }
        let body = place(self.ifindex, HANDLE, CLSACT, 0);
        match netlink.ask(DELETE_DISCIPLINE, 0, &body) {
            // It is gone already, or the device is.
            Ok(_) | Err(Errno::ENOENT | Errno::ENODEV | Errno::EINVAL) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.of.is_some() {
            forget(&mut made(), self.of.take());
        }
    }
}

/// Whether it was the last of its device.
fn forget(made: &mut BTreeMap<Device, usize>, of: Option<Device>) -> bool {
    let Some(device) = of else {
        return false;
    };
    let Some(count) = made.get_mut(&device) else {
        return false;
    };
    *count = count.saturating_sub(1);
    let last = *count == 0;
    if last {
        made.remove(&device);
    }
    last
}
