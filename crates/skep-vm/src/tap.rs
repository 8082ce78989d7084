//! A network of its own for a command, and the device by which its packets come here: what
//! `skep run --tap` is made of. All of it is possible for ordinary users where they may make user
//! namespaces, and is gone with the processes that have it open.
//!
//! A child process calls [`enter_own_network`] before anything else, opens a [`Tap`] there and
//! hands its descriptor to whoever feeds a machine with it.

use std::{
    fs,
    io::{self, Read, Write},
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    ioctl::{Opcode, Setter, ioctl},
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Why there is no network of its own, or no device in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TapError {
    /// No namespaces can be made.
    #[error("cannot make a network of its own (user and network namespace): {error}")]
    Namespace {
        /// What the kernel said.
        error: io::Error,
    },
    /// There is no device to be had.
    #[error("cannot open /dev/net/tun: {error}")]
    Device {
        /// What the kernel said.
        error: io::Error,
    },
    /// The device can't be set up.
    #[error("cannot {what} the device `{name}`: {error}")]
    SetUp {
        /// What was to be done.
        what: &'static str,
        /// The device.
        name: String,
        /// What the kernel said.
        error: io::Error,
    },
}

impl TapError {
    /// The kernel's number, or 0.
    #[must_use]
    pub fn number(&self) -> i32 {
        let (Self::Namespace { error } | Self::Device { error } | Self::SetUp { error, .. }) = self;
        error.raw_os_error().unwrap_or(0)
    }

    /// What helps.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Namespace { .. } => {
                "let users make user namespaces: `sysctl user.max_user_namespaces=10000`, on \
                 Debian and Ubuntu also `sysctl kernel.unprivileged_userns_clone=1` and \
                 `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; in a container, run it \
                 where unshare(2) is allowed"
            }
            Self::Device { error } => match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "let users open it, as most systems do: `chmod 666 /dev/net/tun` as root"
                }
                _ => {
                    "make it, as root: `modprobe tun`; in a container, give it the device \
                     (`--device /dev/net/tun`)"
                }
            },
            Self::SetUp { .. } => "choose another name or address",
        }
    }
}

/// Moves this process into a new user namespace, in which it is root, and a new network
/// namespace, in which there is only `lo`, which is set up. Outside it stays who it is.
///
/// The process must have one thread alone.
///
/// # Errors
/// Users may not make namespaces here.
pub fn enter_own_network() -> Result<(), TapError> {
    let namespace = |error: io::Error| TapError::Namespace { error };
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNET;
    // SAFETY: the flags leave tables of descriptors as they are.
    unsafe { unshare_unsafe(flags) }.map_err(|error| namespace(error.into()))?;
    // Without it, groups can't be mapped.
    match fs::write("/proc/self/setgroups", "deny") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(namespace(error)),
        _ => {}
    }
    let map = |file: &str, id: u32| fs::write(file, format!("0 {id} 1")).map_err(namespace);
    map("/proc/self/uid_map", uid.as_raw())?;
    map("/proc/self/gid_map", gid.as_raw())?;
    Settings::of("lo")?.up()
}

/// A device whose packets a process reads and writes, in the network namespace that it was opened
/// in. It is gone when its last descriptor is closed.
#[derive(Debug)]
pub struct Tap(fs::File);

impl Tap {
    /// Makes a device of this name and gives it an address with so many bits of network.
    ///
    /// # Errors
    /// There are no such devices, or the name or address can't be.
    pub fn open(name: &str, address: Ipv4Addr, prefix: u8) -> Result<Self, TapError> {
        let options = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun");
        let file = options.map_err(|error| TapError::Device { error })?;
        let mut settings = Settings::of(name)?;
        settings.request.set_u16(IFF_TAP | IFF_NO_PI);
        let made = settings.request.set::<TUNSETIFF>(file.as_fd());
        made.map_err(|error| settings.failed("make", error))?;
        // A machine's device says nothing by itself; so does this one.
        let quiet = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        // Where it can't be said, there are some packets of IPv6's more.
        let _ = fs::write(quiet, "1");
        settings.address(address, prefix)?;
        settings.up()?;
        Self::from_descriptor(file.into()).map_err(|error| TapError::Device { error })
    }

    /// One that another process has opened.
    ///
    /// # Errors
    /// It is no such descriptor.
    pub fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Self(descriptor.into()))
    }

    /// Its descriptor, for another process.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.0.into()
    }

    /// Reads a packet that the namespace sent; `None`: there is none now.
    ///
    /// # Errors
    /// The device is gone.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.0).read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets the namespace receive a packet.
    ///
    /// # Errors
    /// The device is gone or down, or takes no such packet.
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.0).write(packet).map(drop)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Requests (`linux/if_tun.h`, `linux/sockios.h`).
const TUNSETIFF: Opcode = 0x4004_54ca;
const SET_FLAGS: Opcode = 0x8914;
const SET_ADDRESS: Opcode = 0x8916;
const SET_MASK: Opcode = 0x891c;

/// `IFF_TAP`, `IFF_NO_PI`; `IFF_UP` and `IFF_RUNNING`
const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;
const IFF_UP: u16 = 1;
const IFF_RUNNING: u16 = 0x40;

/// Bytes of a name with the zero behind it, and of what stands for a value.
const NAME: usize = 16;
const VALUE: usize = 24;

/// `struct ifreq`
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Request {
    name: [u8; NAME],
    value: [u8; VALUE],
}

impl Request {
    fn set_u16(&mut self, value: u16) {
        self.value = [0; VALUE];
        self.value[..2].copy_from_slice(&value.to_ne_bytes());
    }

    /// `struct sockaddr_in`
    fn set_address(&mut self, address: Ipv4Addr) {
        self.set_u16(AddressFamily::INET.as_raw());
        self.value[4..8].copy_from_slice(&address.octets());
    }

    fn set<const REQUEST: Opcode>(&self, on: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: the requests above read a `struct ifreq`, as this is one, and write at most into
        // it; it is a copy that nobody else has.
        let done: Result<(), Errno> = unsafe { ioctl(on, Setter::<REQUEST, Self>::new(*self)) };
        Ok(done?)
    }
}

/// How a device is set up.
struct Settings {
    name: String,
    request: Request,
}

impl Settings {
    fn of(name: &str) -> Result<Self, TapError> {
        let mut request = Request {
            name: [0; NAME],
            value: [0; VALUE],
        };
        let settings = |request| Self {
            name: name.to_owned(),
            request,
        };
        // One byte stays for the zero; names go into paths too.
        if name.is_empty() || name.len() >= NAME || name.contains(['/', '%', '\0']) {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(settings(request).failed("name", error));
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Ok(settings(request))
    }

    fn failed(&self, what: &'static str, error: io::Error) -> TapError {
        TapError::SetUp {
            what,
            name: self.name.clone(),
            error,
        }
    }

    fn socket(&self) -> Result<OwnedFd, TapError> {
        let made = socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        );
        made.map_err(|error| self.failed("ask for", error.into()))
    }

    fn address(&mut self, address: Ipv4Addr, prefix: u8) -> Result<(), TapError> {
        let socket = self.socket()?;
        self.request.set_address(address);
        let set = self.request.set::<SET_ADDRESS>(socket.as_fd());
        set.map_err(|error| self.failed("give an address to", error))?;
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into()));
        self.request.set_address(mask.unwrap_or(0).into());
        let set = self.request.set::<SET_MASK>(socket.as_fd());
        set.map_err(|error| self.failed("give a network to", error))
    }

    fn up(&mut self) -> Result<(), TapError> {
        let socket = self.socket()?;
        self.request.set_u16(IFF_UP | IFF_RUNNING);
        let set = self.request.set::<SET_FLAGS>(socket.as_fd());
        set.map_err(|error| self.failed("set up", error))
    }
}
