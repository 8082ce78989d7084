//! Pulses of an infrared receiver (4.18): without a link, beside up to 63 others.

use std::fs::File;

use skep_abi::{AttachFlags, AttachType};
use skep_host::{Attachment, Cause, Errno, ProgramFd, Result};

use super::{Refusal, unlinked};

pub(super) fn attach(program: &ProgramFd, device: &std::path::Path) -> Result<Attachment, Refusal> {
    use std::os::fd::AsRawFd as _;
    // Since 6.9 a descriptor that may only be read is refused (EPERM).
    let file = File::options().read(true).write(true).open(device);
    let file = file.map_err(|error| Refusal {
        errno: Errno(error.raw_os_error().unwrap_or(libc::EIO)),
        cause: (error.kind() == std::io::ErrorKind::NotFound).then(|| Cause::NotFound {
            kind: "infrared receiver",
            name: device.display().to_string(),
            near: receivers(),
        }),
    })?;
    let flags = AttachFlags::empty();
    unlinked::attach(program, file.as_raw_fd(), AttachType::LircMode2, flags).map_err(|errno| {
        let cause = match errno {
            Errno::EINVAL => Some(Cause::Other {
                what: format!("{} receives no pulses (mode 2)", device.display()),
                fix: "name a receiver that does (`ir-ctl --features`)".into(),
            }),
            Errno::EEXIST => Some(Cause::InUse("this very program is on it already".into())),
            Errno::E2BIG => Some(Cause::InUse("64 programs are on it already".into())),
            _ => None,
        };
        Refusal { errno, cause }
    })
}

/// The receivers that there are.
fn receivers() -> Vec<String> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("lirc"))
        .map(|name| format!("/dev/{name}"))
        .collect()
}
