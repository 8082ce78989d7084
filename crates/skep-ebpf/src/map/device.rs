//! Maps that frames are redirected by: to devices, to other CPUs, to sockets of user space.

use super::definition::{Number, definition};
use super::{Map, MapOptions, Options};
use crate::helper::raw;
use crate::hook::XdpAction;

/// To all devices of the map.
const BROADCAST: u64 = 1 << 3;
/// But not to where the frame came from.
const EXCLUDE_INGRESS: u64 = 1 << 4;

macro_rules! targets {
    ($(
        $(#[$doc:meta])*
        $name:ident = $id:literal, $key:ident, $value:ty, $what:literal;
    )*) => { $(
        definition! {
            $(#[$doc])*
            $name = $id, [const MAX_ENTRIES: usize,], [MAX_ENTRIES,], Options,
            { key: *const u32, value: *const $value, max_entries: Number<MAX_ENTRIES> }
        }

        impl<const MAX_ENTRIES: usize, O: MapOptions> $name<MAX_ENTRIES, O> {
            #[doc = concat!("Sends the frame to ", $what, " of an entry, or does `otherwise` if there is none.")]
            ///
            /// An `otherwise` other than [`XdpAction::ABORTED`] needs Linux 5.3.
            #[doc(alias = "bpf_redirect_map")]
            #[inline(always)]
            #[must_use = "it is what the program returns"]
            pub fn redirect(&self, $key: u32, otherwise: XdpAction) -> XdpAction {
                redirect(self, $key.into(), flags(otherwise))
            }
        }
    )* };
}

targets! {
    /// Devices by index. Linux 4.14.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static DEVICES: DevMap<16> = DevMap::new();
    ///
    /// #[xdp]
    /// fn forward(_: &XdpContext) -> XdpAction {
    ///     DEVICES.redirect(1, XdpAction::PASS)
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_DEVMAP")]
    DevMap = 14, index, Device, "the device";

    /// Devices by number. Linux 5.4.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static DEVICES: DevMapHash<16> = DevMapHash::new();
    ///
    /// #[xdp]
    /// fn forward(_: &XdpContext) -> XdpAction {
    ///     DEVICES.broadcast()
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_DEVMAP_HASH")]
    DevMapHash = 25, key, Device, "the device";

    /// CPUs, on which the frame's way through the network stack begins. Linux 4.15.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static CPUS: CpuMap<64> = CpuMap::new();
    ///
    /// #[xdp]
    /// fn spread(_: &XdpContext) -> XdpAction {
    ///     CPUS.redirect(3, XdpAction::PASS)
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_CPUMAP")]
    CpuMap = 16, cpu, Cpu, "the CPU";

    /// Sockets of the family `AF_XDP`, by queue. Linux 4.18.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static SOCKETS: XskMap<64> = XskMap::new();
    ///
    /// #[xdp]
    /// fn hand_over(_: &XdpContext) -> XdpAction {
    ///     SOCKETS.redirect(0, XdpAction::PASS)
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_XSKMAP")]
    XskMap = 17, queue, u32, "the socket";
}

/// An entry of a map of devices: where to, and the program that runs there.
#[doc(alias = "bpf_devmap_val")]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Device {
    /// The device's number.
    pub ifindex: u32,
    /// From user space the program's descriptor, to it its id; 0 is none.
    pub program: u32,
}

/// An entry of a map of CPUs: how many frames wait there, and the program that runs there.
#[doc(alias = "bpf_cpumap_val")]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Cpu {
    /// The size of the CPU's queue.
    pub queue_size: u32,
    /// From user space the program's descriptor, to it its id; 0 is none.
    pub program: u32,
}

macro_rules! broadcast {
    ($($name:ident)*) => { $(
        impl<const MAX_ENTRIES: usize, O: MapOptions> $name<MAX_ENTRIES, O> {
            /// Sends copies of the frame to all devices but the one that it came from. Linux 5.14.
            #[inline(always)]
            #[must_use = "it is what the program returns"]
            pub fn broadcast(&self) -> XdpAction {
                redirect(self, 0, BROADCAST | EXCLUDE_INGRESS)
            }
        }
    )* };
}

broadcast! { DevMap DevMapHash }

#[inline(always)]
fn redirect(map: &impl Map, key: u64, flags: u64) -> XdpAction {
    // SAFETY: the map is one that frames are redirected by.
    XdpAction::new(unsafe { raw::bpf_redirect_map(map.as_raw(), key, flags) } as i32)
}

/// The flags' lower bits are what is returned if there is no entry.
#[inline(always)]
fn flags(otherwise: XdpAction) -> u64 {
    crate::hook::Verdict::number(otherwise) as u64 & 3
}
