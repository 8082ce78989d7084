//! What a host tells of a network device's XDP programs.

use skep_abi::LinkType;

use crate::{Host, LinkDetails, LinkFd, ObjectId, Result};

/// The XDP programs of a device: the id of each mode's, 0 for none. Only one of the first two is
/// there.
#[doc(alias = "bpf_xdp_query_opts")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceXdp {
    /// After the socket buffer is made.
    #[doc(alias = "IFLA_XDP_SKB_PROG_ID")]
    pub generic: u32,
    /// In the driver.
    #[doc(alias = "IFLA_XDP_DRV_PROG_ID")]
    pub native: u32,
    /// On the card.
    #[doc(alias = "IFLA_XDP_HW_PROG_ID")]
    pub offload: u32,
}

/// Most links that are looked at for the one in question.
const LINKS: usize = 1 << 16;

impl DeviceXdp {
    /// The link that holds a program on a device, and its id; nothing if it is there without one.
    ///
    /// # Errors
    /// The host lets this process look at no links (`CAP_SYS_ADMIN`).
    pub fn link(host: &dyn Host, program: u32, ifindex: u32) -> Result<Option<(u32, LinkFd)>> {
        let mut id = ObjectId::Link(0);
        for _ in 0..LINKS {
            let Some(next @ ObjectId::Link(number)) = host.next_id(id)? else {
                return Ok(None);
            };
            id = next;
            let Some(link) = host.link_by_id(number)? else {
                continue;
            };
            let info = host.link_info(&link)?;
            let here =
                matches!(info.details, LinkDetails::Device { ifindex: on, .. } if on == ifindex);
            if here && info.program_id == program && info.link_type() == Some(LinkType::Xdp) {
                return Ok(Some((number, link)));
            }
        }
        Ok(None)
    }

    /// The program that runs on this machine's processors, and the word for where.
    pub fn program(&self) -> Option<(u32, &'static str)> {
        match (self.native, self.generic) {
            (0, 0) => None,
            (0, id) => Some((id, "generic")),
            (id, _) => Some((id, "native")),
        }
    }
}
