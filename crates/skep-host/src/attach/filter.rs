//! Filters of traffic control, the hook that kernels had before tcx: whose packets they see, what
//! they are told apart by, and those that are there.

use std::{fmt, str::FromStr};

use super::{Position, TcxDirection};

/// Whose packets a filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterParent {
    /// One side of a device, by its queueing discipline `clsact`, which is made where it is lacking.
    Device {
        /// The device's index.
        ifindex: u32,
        /// Which way packets go.
        direction: TcxDirection,
    },
    /// The devices whose disciplines share this block of filters (`tc qdisc add dev eth0
    /// ingress_block 7 clsact`). Since 4.16.
    #[doc(alias = "ingress_block")]
    Block(u32),
    /// A queueing discipline or class of a device, which must be there: `1:0` is `0x10000`.
    #[doc(alias = "BPF_TC_CUSTOM")]
    Discipline {
        /// The device's index.
        ifindex: u32,
        /// Its handle.
        handle: u32,
    },
}

impl fmt::Display for FilterParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { ifindex, direction } => {
                let side = match direction {
                    TcxDirection::Ingress => "ingress",
                    TcxDirection::Egress => "egress",
                };
                write!(f, "tc/{side} (clsact) on device {ifindex}")
            }
            Self::Block(block) => write!(f, "tc (block {block})"),
            Self::Discipline { ifindex, handle } => {
                let (major, minor) = (handle >> 16, handle & 0xffff);
                write!(f, "tc ({major:x}:{minor:x}) on device {ifindex}")
            }
        }
    }
}

/// What a filter is told apart from others of its parent by. The default leaves it to the host,
/// after all that are there.
#[doc(alias = "bpf_tc_opts")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FilterSlot {
    /// The lower runs earlier; 0 for one by [`position`](Self::position).
    pub priority: u16,
    /// The filter's number among those of its priority; 0 for one that the kernel chooses.
    pub handle: u32,
    /// Take the place of the filter that is there, if one is; needs priority and handle.
    #[doc(alias = "BPF_TC_F_REPLACE")]
    pub replace: bool,
    /// Where among the others, if no priority is said: first or last.
    pub position: Position,
}

impl FromStr for FilterSlot {
    type Err = String;

    /// Reads `PRIORITY[:HANDLE[:replace]]`; handles may be in hex, as `tc` prints them.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no place of a filter: write a priority of 1 to 65535, then perhaps a \
                 handle, then perhaps `replace`, as in `10:0x1:replace`"
            )
        };
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let mut slot = Self::default();
        let mut parts = text.split(':');
        let priority = parts.next().and_then(|part| part.parse().ok());
        slot.priority = priority
            .filter(|priority| *priority != 0)
            .ok_or_else(wrong)?;
        if let Some(part) = parts.next() {
            slot.handle = number(part)
                .filter(|handle| *handle != 0)
                .ok_or_else(wrong)?;
        }
        match (parts.next(), parts.next()) {
            (None, _) => {}
            (Some("replace"), None) => slot.replace = true,
            _ => return Err(wrong()),
        }
        Ok(slot)
    }
}

/// A filter that is there, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Whose packets it sees.
    pub parent: FilterParent,
    /// Lower ones run earlier.
    pub priority: u16,
    /// Its number among those of its priority.
    pub handle: u32,
    /// Of which protocol's packets (`ETH_P_*`): 3 for all.
    pub protocol: u16,
    /// What decides: `bpf`, `u32`, `flower`, …
    pub kind: String,
    /// The name that a `bpf` filter was given.
    pub name: String,
    /// The id of its program, if it is a `bpf` filter.
    pub program: Option<u32>,
    /// What the program returns is what happens; without it, a class of traffic.
    #[doc(alias = "TCA_BPF_FLAG_ACT_DIRECT")]
    pub direct: bool,
}

impl Filter {
    /// One of a parent, of which nothing more is known.
    pub fn of(parent: FilterParent) -> Self {
        Self {
            parent,
            priority: 0,
            handle: 0,
            protocol: 0,
            kind: String::new(),
            name: String::new(),
            program: None,
            direct: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read() {
        let slot = |priority, handle, replace| {
            Ok(FilterSlot {
                priority,
                handle,
                replace,
                position: Position::Last,
            })
        };
        assert_eq!("10".parse(), slot(10, 0, false));
        assert_eq!("10:1".parse(), slot(10, 1, false));
        assert_eq!("65535:0x1f:replace".parse(), slot(65535, 31, true));
        for text in [
            "",
            "0",
            "65536",
            "10:0",
            "10:1:",
            "10:1:replace:",
            "x",
            "10:replace",
        ] {
            let error = text.parse::<FilterSlot>().unwrap_err();
            assert!(error.starts_with(&format!("`{text}` ")), "{error}");
        }
    }

    #[test]
    fn parents_are_written_as_tc_does() {
        let class = FilterParent::Discipline {
            ifindex: 3,
            handle: 0x1_0010,
        };
        assert_eq!(class.to_string(), "tc (1:10) on device 3");
        assert_eq!(FilterParent::Block(7).to_string(), "tc (block 7)");
    }
}
