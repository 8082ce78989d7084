//! Keys and values whose layout the kernel fixes (`linux/bpf.h`), as plain types.

use std::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The key of an LPM trie over addresses of `N` bytes (`struct bpf_lpm_trie_key_u8`, 4.11): the
/// length of the prefix in the machine's byte order, the address as it is on the wire.
///
/// ```
/// use std::net::{IpAddr, Ipv4Addr};
/// use skep::LpmKey;
///
/// let net = LpmKey::<4>::from((Ipv4Addr::new(10, 1, 0, 0), 16));
/// assert_eq!((net.prefix_len(), net.address()), (16, [10, 1, 0, 0]));
/// assert!(LpmKey::<4>::new([10, 0, 0, 0], 33).is_none());
/// assert!(LpmKey::<16>::from_ip("2001:db8::".parse().unwrap(), 32).is_some());
/// assert!(LpmKey::<4>::from_ip(IpAddr::V4(Ipv4Addr::LOCALHOST), 8).is_some());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[doc(alias = "bpf_lpm_trie_key")]
#[repr(C)]
pub struct LpmKey<const N: usize> {
    prefix_len: [u8; 4],
    address: [u8; N],
}

impl<const N: usize> LpmKey<N> {
    /// The first `prefix_len` bits of `address`, in network byte order; `None` when it has not so
    /// many.
    pub fn new(address: [u8; N], prefix_len: u32) -> Option<Self> {
        (prefix_len as usize <= N * 8).then(|| Self {
            prefix_len: prefix_len.to_ne_bytes(),
            address,
        })
    }

    /// The network of an IP address; `None` when it is not of `N` bytes, or has not so many bits.
    pub fn from_ip(address: IpAddr, prefix_len: u32) -> Option<Self> {
        let address = match address {
            IpAddr::V4(address) => address.octets().as_slice().try_into().ok()?,
            IpAddr::V6(address) => address.octets().as_slice().try_into().ok()?,
        };
        Self::new(address, prefix_len)
    }

    /// How many bits of the address count.
    pub fn prefix_len(&self) -> u32 {
        u32::from_ne_bytes(self.prefix_len)
    }

    /// The address, in network byte order.
    pub fn address(&self) -> [u8; N] {
        self.address
    }
}

macro_rules! networks {
    ($($address:ty, $bytes:literal;)*) => {$(
        /// The network of an address; prefixes longer than the address are cut to it.
        impl From<($address, u32)> for LpmKey<$bytes> {
            fn from((address, prefix_len): ($address, u32)) -> Self {
                Self {
                    prefix_len: prefix_len.min($bytes * 8).to_ne_bytes(),
                    address: address.octets(),
                }
            }
        }

        /// A host: all bits of its address count.
        impl From<$address> for LpmKey<$bytes> {
            fn from(address: $address) -> Self {
                Self::from((address, $bytes * 8))
            }
        }
    )*};
}

networks! {
    std::net::Ipv4Addr, 4;
    std::net::Ipv6Addr, 16;
}

/// The value of a `BPF_MAP_TYPE_DEVMAP` or `DEVMAP_HASH` with programs (`struct bpf_devmap_val`,
/// 5.8).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[doc(alias = "bpf_devmap_val")]
#[repr(C)]
pub struct DevmapValue {
    /// The index of the device.
    pub ifindex: u32,
    /// Written: the descriptor of an `xdp/devmap` program, or 0 or −1 for none. Read: its id.
    pub program: i32,
}

/// The value of a `BPF_MAP_TYPE_CPUMAP` with programs (`struct bpf_cpumap_val`, 5.9).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[doc(alias = "bpf_cpumap_val")]
#[repr(C)]
pub struct CpumapValue {
    /// Packets that the CPU's queue holds.
    pub queue_size: u32,
    /// Written: the descriptor of an `xdp/cpumap` program, or 0 or −1 for none. Read: its id.
    pub program: i32,
}

/// The key of a `BPF_MAP_TYPE_CGROUP_STORAGE` (`struct bpf_cgroup_storage_key`, 4.19).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[doc(alias = "bpf_cgroup_storage_key")]
#[repr(C)]
pub struct CgroupStorageKey {
    /// The cgroup's id: the inode number of its directory.
    pub cgroup: u64,
    /// What the program is attached as (`enum bpf_attach_type`).
    pub attach_type: u32,
    /// Nothing.
    pub padding: u32,
}
