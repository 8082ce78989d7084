//! What stands behind refusals that tokens are part of: what one does not delegate, and the rules
//! by which one is made.

use skep_abi::{AttachType, Capability, Command, MapType, ProgramType};
use skep_host::{Cause, Errno, TokenFd, TokenInfo};

use super::{missing_anywhere, too_old};
use crate::LinuxHost;

/// What a token would have to delegate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delegated {
    /// `BPF_MAP_CREATE` of this type.
    Map(MapType),
    /// `BPF_PROG_LOAD` of this type, as this attach type (raw).
    Program(ProgramType, u32),
    /// `BPF_BTF_LOAD`.
    Btf,
}

/// What the token that a command was given does not delegate; the kernel then goes by the
/// process' own capabilities. `None` before 6.17, where tokens don't tell.
pub(crate) fn lacking(token: Option<&TokenFd>, errno: Errno, wanted: Delegated) -> Option<Cause> {
    if errno != Errno::EPERM {
        return None;
    }
    not_delegated(&crate::info::token_raw(token?).ok()?, wanted)
}

/// What of that such a token does not delegate.
pub(crate) fn not_delegated(info: &TokenInfo, wanted: Delegated) -> Option<Cause> {
    let command = match wanted {
        Delegated::Map(_) => Command::MapCreate,
        Delegated::Program(..) => Command::ProgLoad,
        Delegated::Btf => Command::BtfLoad,
    };
    let (what, option) = match wanted {
        _ if !info.allows_command(command) => (command.name().to_owned(), "delegate_cmds"),
        Delegated::Map(kind) if !info.allows_map(kind) => (
            format!("maps of type {}", kind.short_name()),
            "delegate_maps",
        ),
        Delegated::Program(kind, _) if !info.allows_program_type(kind) => (
            format!("programs of type {}", kind.short_name()),
            "delegate_progs",
        ),
        Delegated::Program(_, attach) if !info.allows_attach_type(attach) => {
            let name = AttachType::from_raw(attach).map_or("0", AttachType::name);
            (
                format!("programs of attach type {name}"),
                "delegate_attachs",
            )
        }
        _ => return None,
    };
    Some(Cause::Other {
        what: format!("the token does not delegate {what}"),
        fix: format!("mount its bpffs with a `{option}` that has it, or with `{option}=any`"),
    })
}

/// The rules of `BPF_TOKEN_CREATE`, each with an errno of its own.
pub(super) fn refused(host: &LinuxHost, errno: Errno) -> Option<Cause> {
    let other = |what: &str, fix: &str| {
        Some(Cause::Other {
            what: what.to_owned(),
            fix: fix.to_owned(),
        })
    };
    match errno {
        Errno::EINVAL => too_old(
            host,
            Command::TokenCreate.name(),
            Command::TokenCreate.since(),
        )
        .or_else(|| {
            other(
                "that is not the root of a bpffs",
                "name the directory where the bpffs is mounted",
            )
        }),
        Errno::EOPNOTSUPP => other(
            "this process is in the initial user namespace, where a token gives nothing",
            "make the token inside of the user namespace that the bpffs was made in",
        ),
        Errno::ENOENT => other(
            "the bpffs delegates nothing",
            "mount it with `delegate_cmds`, `delegate_maps`, `delegate_progs` or `delegate_attachs`",
        ),
        Errno::EPERM => missing_anywhere(host, &[Capability::Bpf]).or_else(|| {
            other(
                "the bpffs belongs to another user namespace than this process is in",
                "make the file system context (`fsopen`) inside of the user namespace, and set its \
                 options and mount it from outside",
            )
        }),
        _ => None,
    }
}
