//! What a host tells of a network device's XDP programs.

use skep_abi::LinkType;

use crate::{Host, LinkDetails, LinkFd, LinkInfo, Result};

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

impl DeviceXdp {
    /// The link that holds a program on a device, and its id; nothing if it is there without one.
    ///
    /// # Errors
    /// The host lets this process look at no links (`CAP_SYS_ADMIN`).
    pub fn link(host: &dyn Host, program: u32, ifindex: u32) -> Result<Option<(u32, LinkFd)>> {
        let found = LinkInfo::find(host, |info| {
            let here =
                matches!(info.details, LinkDetails::Device { ifindex: on, .. } if on == ifindex);
            here && info.program_id == program && info.link_type() == Some(LinkType::Xdp)
        })?;
        Ok(found.map(|(info, link)| (info.id, link)))
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
