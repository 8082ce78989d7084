//! Packets as a device receives them: by link (5.9). And what a device has of them, which netlink
//! tells.

use skep_abi::{AttachType, XdpFlags};
use skep_host::{
    Attachment, Cause, DeviceXdp, Errno, Error, Host, LinkTarget, ProgramFd, Result, XdpMode,
};

use super::Refusal;
use crate::{
    LinuxHost, link,
    netlink::{Netlink, attributes, word},
};

/// `RTM_GETLINK`, `IFLA_IFNAME`, `IFLA_XDP`.
const ASK_DEVICE: u16 = 18;
const NAME: u16 = 3;
const XDP: u16 = 43;
/// `IFLA_XDP_DRV_PROG_ID`, `IFLA_XDP_SKB_PROG_ID`, `IFLA_XDP_HW_PROG_ID`.
const NATIVE: u16 = 5;
const GENERIC: u16 = 6;
const OFFLOAD: u16 = 7;
/// Bytes of a `struct ifinfomsg`.
const DEVICE_HEADER: usize = 16;

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    ifindex: u32,
    mode: XdpMode,
) -> Result<Attachment, Refusal> {
    let mut request = link::plain(program, LinkTarget::Device(ifindex), AttachType::Xdp);
    request.flags = match mode {
        XdpMode::Auto => XdpFlags::empty(),
        XdpMode::Generic => XdpFlags::SKB_MODE,
        XdpMode::Native => XdpFlags::DRV_MODE,
        XdpMode::Offload => XdpFlags::HW_MODE,
    }
    .bits();
    match link::create_raw(host, &request) {
        Ok(link) => Ok(Attachment::link(link)),
        Err(errno) => Err(Refusal {
            errno,
            cause: in_the_way(host, errno, ifindex),
        }),
    }
}

/// The device's name and XDP programs.
fn device(ifindex: u32) -> Result<(String, DeviceXdp), Errno> {
    let netlink = Netlink::open()?;
    let mut body = vec![0; DEVICE_HEADER];
    body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    let answers = netlink.ask(ASK_DEVICE, 0, &body)?;
    let (_, answer) = answers.first().ok_or(Errno::EIO)?;
    let (mut name, mut programs) = (String::new(), DeviceXdp::default());
    for (kind, value) in attributes(answer.get(DEVICE_HEADER..).unwrap_or_default()) {
        match kind {
            NAME => {
                let text = String::from_utf8_lossy(value);
                name = text.trim_end_matches('\0').to_owned();
            }
            XDP => {
                for (kind, value) in attributes(value) {
                    let id = word(value, 0).unwrap_or(0);
                    match kind {
                        NATIVE => programs.native = id,
                        GENERIC => programs.generic = id,
                        OFFLOAD => programs.offload = id,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok((name, programs))
}

pub(crate) fn query(ifindex: u32) -> Result<DeviceXdp> {
    match device(ifindex) {
        Ok((_, programs)) => Ok(programs),
        Err(errno) => {
            let object = format!("the device with index {ifindex}");
            Err(Error::system("ask for", object, errno))
        }
    }
}

/// Who has the device's XDP, if that is what a refusal is about.
fn in_the_way(host: &LinuxHost, errno: Errno, ifindex: u32) -> Option<Cause> {
    if !matches!(errno, Errno::EBUSY | Errno::EEXIST) {
        return None;
    }
    let (device, programs) = device(ifindex).ok()?;
    let (id, mode) = programs.program()?;
    let name = host.prog_by_id(id).ok()?.and_then(|program| {
        let info = host.prog_info(&program).ok()?;
        Some(info.name)
    });
    let name = name.unwrap_or_default();
    let link = DeviceXdp::link(host, id, ifindex).ok().flatten();
    let (by, remedy) = match link {
        Some((link, _)) => (
            format!("by link {link}"),
            format!("end who holds it, or `bpftool link detach id {link}`"),
        ),
        None => (
            "without a link".to_owned(),
            format!("`ip link set dev {device} xdp off`"),
        ),
    };
    let (whose, remedy) = match name.as_str() {
        "xdp_dispatcher" => (
            ", libxdp's dispatcher",
            format!("`xdp-loader unload {device}`"),
        ),
        "skep_dispatcher" => (
            ", where Skep runs several",
            "join them (`--xdp-share`, `AttachOptions::xdp_share`)".to_owned(),
        ),
        _ => ("", remedy),
    };
    Some(Cause::InUse(format!(
        "device `{device}` has the XDP program `{name}` (id {id}{whose}) already, in {mode} mode, {by}: \
         {remedy}"
    )))
}
