//! Packets that a route sends on: a route of its own with the program in it, by netlink
//! (`lwt_in`, `lwt_out`, `lwt_xmit` since 4.10, `lwt_seg6local` since 4.18).
//!
//! The route is made for the program and taken off with it. One that is there already is not
//! touched.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use skep_abi::ProgramType;
use skep_host::{Attachment, Cause, Detach, Errno, Error, ProgramFd, Result, Route};

use super::Refusal;
use crate::netlink::{self, Netlink, attribute};

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;

/// `RTA_DST`, `RTA_OIF`, …
const DESTINATION: u16 = 1;
const DEVICE: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const TABLE: u16 = 15;
const ENCAPSULATION_KIND: u16 = 21;
const ENCAPSULATION: u16 = 22;

/// `LWTUNNEL_ENCAP_BPF`, `LWTUNNEL_ENCAP_SEG6_LOCAL`.
const BPF: u16 = 6;
const SEGMENT_ROUTING: u16 = 7;
/// `LWT_BPF_IN`, `LWT_BPF_OUT`, `LWT_BPF_XMIT`, `LWT_BPF_XMIT_HEADROOM`.
const IN: u16 = 1;
const OUT: u16 = 2;
const TRANSMIT: u16 = 3;
const HEADROOM: u16 = 4;
/// `SEG6_LOCAL_ACTION`, `SEG6_LOCAL_BPF`, `SEG6_LOCAL_ACTION_END_BPF`.
const ACTION: u16 = 1;
const ACTION_PROGRAM: u16 = 8;
const END_BPF: u32 = 15;
/// In a program's attribute: `LWT_BPF_PROG_FD` and `_NAME`, and the same of segment routing.
const DESCRIPTOR: u16 = 1;
const NAME: u16 = 2;

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;
/// `RTPROT_STATIC`: by an administrator.
const STATIC: u8 = 4;
/// `RTN_UNICAST`.
const UNICAST: u8 = 1;
/// `RT_SCOPE_LINK`: the device reaches it.
const LINK: u8 = 253;

pub(super) fn attach(
    program: &ProgramFd,
    program_type: ProgramType,
    route: &Route,
) -> Result<Attachment, Refusal> {
    let place = match program_type {
        ProgramType::LwtIn => IN,
        ProgramType::LwtOut => OUT,
        ProgramType::LwtXmit => TRANSMIT,
        ProgramType::LwtSeg6local => ACTION_PROGRAM,
        _ => {
            let cause = Cause::Other {
                what: format!(
                    "routes take no programs of type {}",
                    program_type.short_name()
                ),
                fix: "put it in a section `lwt_in`, `lwt_out`, `lwt_xmit` or `lwt_seg6local`"
                    .into(),
            };
            return Err(Refusal::because(Errno::EINVAL, cause));
        }
    };
    let mut made = Made {
        netlink: Netlink::open()?,
        route: *route,
        place,
        attached: false,
    };
    made.put(program, netlink::CREATE | netlink::EXCLUSIVE)
        .map_err(|errno| Refusal {
            errno,
            cause: made.cause(errno),
        })?;
    made.attached = true;
    Ok(Attachment::held(Box::new(made), None))
}

/// A name that no other program on a route has: the kernel holds two routes by one device for the
/// same, and gives the second the program of the first, if only the names of their programs are.
fn name() -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("skep-{}-{now:x}-{count}\0", std::process::id()).into_bytes()
}

/// A route that is to be taken off.
#[derive(Debug)]
struct Made {
    netlink: Netlink,
    route: Route,
    /// What the program is in the route.
    place: u16,
    attached: bool,
}

impl Made {
    /// The route, as netlink names it.
    fn named(&self) -> Vec<u8> {
        let Route {
            destination,
            length,
            device,
            gateway,
            table,
            priority,
            ..
        } = self.route;
        let octets = |address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let (family, scope) = match (destination, gateway) {
            (IpAddr::V4(_), None) => (libc::AF_INET, LINK),
            (IpAddr::V4(_), Some(_)) => (libc::AF_INET, 0),
            (IpAddr::V6(_), _) => (libc::AF_INET6, 0),
        };
        // A `struct rtmsg`; the table stands in an attribute, which has room for it.
        let mut body = vec![family as u8, length, 0, 0, 0, STATIC, scope, UNICAST];
        body.extend(0_u32.to_ne_bytes());
        attribute(&mut body, DESTINATION, &octets(destination));
        attribute(&mut body, DEVICE, &device.to_ne_bytes());
        if let Some(gateway) = gateway {
            attribute(&mut body, GATEWAY, &octets(gateway));
        }
        attribute(&mut body, TABLE, &table.unwrap_or(MAIN).to_ne_bytes());
        if let Some(priority) = priority {
            attribute(&mut body, PRIORITY, &priority.to_ne_bytes());
        }
        body
    }

    fn put(&self, program: &ProgramFd, flags: u16) -> Result<(), Errno> {
        let mut inner = Vec::new();
        attribute(
            &mut inner,
            DESCRIPTOR,
            &program.raw().cast_unsigned().to_ne_bytes(),
        );
        attribute(&mut inner, NAME, &name());
        let mut tunnel = Vec::new();
        let kind = match self.place {
            ACTION_PROGRAM => {
                attribute(&mut tunnel, ACTION, &END_BPF.to_ne_bytes());
                SEGMENT_ROUTING
            }
            _ => BPF,
        };
        attribute(&mut tunnel, self.place | netlink::NESTED, &inner);
        if let Some(headroom) = self.route.headroom {
            attribute(&mut tunnel, HEADROOM, &headroom.to_ne_bytes());
        }
        let mut body = self.named();
        attribute(&mut body, ENCAPSULATION_KIND, &kind.to_ne_bytes());
        attribute(&mut body, ENCAPSULATION | netlink::NESTED, &tunnel);
        self.netlink.ask(NEW_ROUTE, flags, &body).map(drop)
    }

    fn cause(&self, errno: Errno) -> Option<Cause> {
        let segments = self.place == ACTION_PROGRAM;
        Some(match errno {
            Errno::EEXIST => Cause::InUse(format!(
                "there is a route to {} in table {} already: name another destination, table or \
                 priority, or take it off (`ip route del`)",
                self.route,
                self.route.table.unwrap_or(MAIN)
            )),
            Errno::EOPNOTSUPP if segments => Cause::KernelOption("CONFIG_IPV6_SEG6_BPF"),
            Errno::EOPNOTSUPP => Cause::KernelOption("CONFIG_LWTUNNEL_BPF"),
            Errno::EINVAL if segments && self.route.destination.is_ipv4() => Cause::Other {
                what: "segment routing is of IPv6".into(),
                fix: "name a destination of IPv6".into(),
            },
            Errno::EINVAL | Errno::ERANGE if self.route.headroom.is_some_and(|room| room > 256) => {
                Cause::Other {
                    what: "a program puts at most 256 bytes before a packet".into(),
                    fix: "ask for a smaller headroom".into(),
                }
            }
            Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN => Cause::Other {
                what: format!(
                    "device {} is down, or does not reach the router",
                    self.route.device
                ),
                fix: "set it up (`ip link set DEVICE up`), with an address in the router's network"
                    .into(),
            },
            Errno::ENODEV => Cause::NotFound {
                kind: "network device with index",
                name: self.route.device.to_string(),
                near: Vec::new(),
            },
            _ => return None,
        })
    }

    fn take_off(&mut self) -> Result<(), Errno> {
        if !std::mem::take(&mut self.attached) {
            return Ok(());
        }
        match self.netlink.ask(DELETE_ROUTE, 0, &self.named()) {
            // Someone else took it off, or its device is gone.
            Ok(_) | Err(Errno::ESRCH | Errno::ENODEV) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn failed(&self, operation: &'static str, errno: Errno) -> Error {
        Error::system(operation, format!("the route to {}", self.route), errno)
    }
}

impl Detach for Made {
    fn detach(&mut self) -> Result<()> {
        self.take_off()
            .map_err(|errno| self.failed("detach", errno))
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        self.put(program, netlink::CREATE | netlink::REPLACE)
            .map_err(|errno| self.failed("update", errno))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Nobody is left to tell; `detach` is there for those who ask.
        let _ = self.take_off();
    }
}
