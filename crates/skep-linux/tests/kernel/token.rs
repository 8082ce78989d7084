//! Tokens: made and used by a process in a user namespace of its own, from a bpffs that this
//! process, which is root outside, lets delegate.

use std::path::Path;

use skep_abi::{AttachType, MapType, ProgramType};
use skep_host::{BtfLoad, Cause, Host, LogLevel, MapCreate, ProgramLoad, TokenFd};
use skep_linux::LinuxHost;
use skep_testing::{
    Bpffs, MountOptions, Outcome, delegated_bpffs, ensure, expect_err, in_user_namespace,
    needs_kernel,
};

use crate::{harness::host, programs::code};

pub(crate) fn create() -> Outcome {
    needs_kernel(6, 9)?;
    // Outside of a user namespace there is nothing to delegate.
    let bpffs = Bpffs::mount()?;
    refused(host(), bpffs.path(), "initial user namespace")?;
    refused(host(), Path::new("/proc"), "root of a bpffs")?;
    // Twice: a bpffs that delegates nothing, and one that delegates some.
    in_user_namespace(PART, &[&[], DELEGATED])
}

/// The child's side of the test.
pub(crate) const PART: &str = "token";

/// What the bpffs lets do: maps of type hash, programs of type XDP.
const DELEGATED: MountOptions<'_> = &[
    ("delegate_cmds", "any"),
    ("delegate_maps", "0x2"),
    ("delegate_progs", "0x40"),
    ("delegate_attachs", "any"),
];

/// No token from `place`, with a cause that has `words` in it.
fn refused(host: &LinuxHost, place: &Path, words: &str) -> Outcome {
    let error = expect_err("a token", host.token_create(place))?;
    let cause = error.cause().map(Cause::to_string).unwrap_or_default();
    ensure(cause.contains(words), || format!("{error}: {cause}"))
}

pub(crate) fn in_namespace() -> Outcome {
    let host = LinuxHost::new()?;
    let (_root, nothing) = delegated_bpffs()?;
    refused(&host, &nothing, "delegates nothing")?;
    let (_root, path) = delegated_bpffs()?;
    let token = host.token_create(&path)?;
    maps(&host, &token)?;
    programs(&host, &token)?;
    let btf = |token| {
        let mut bytes = 0xeb9fu16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24u32, 0, 16, 16, 5, 1, 0x0100_0000, 4, 0x0100_0020] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(b"\0int\0");
        host.btf_load(&BtfLoad {
            object: "int",
            bytes: &bytes,
            log_level: LogLevel::OnFailure,
            token,
        })
    };
    let loaded = btf(Some(&token))?;
    expect_err("BTF without a token", btf(None))?;
    if host.info().version >= skep_abi::KernelVersion::new(6, 17) {
        let info = host.token_info(&token)?;
        let right = info.allows_map(MapType::Hash)
            && !info.allows_map(MapType::Array)
            && info.allows_program_type(ProgramType::Xdp)
            && info.allows_attach_type(AttachType::Xdp.raw());
        ensure(right, || format!("{info:?}"))?;
        let id = host.btf_info(&loaded)?.id;
        ensure(host.btf_by_id(id, Some(&token))?.is_some(), || {
            "no BTF by id".into()
        })?;
    }
    Ok(())
}

/// The cause of a refusal says what the token lacks, where tokens tell.
fn lacks(host: &LinuxHost, error: &skep_host::Error, words: &str) -> Outcome {
    let tells = host.info().version >= skep_abi::KernelVersion::new(6, 17);
    let cause = error.cause().map(Cause::to_string).unwrap_or_default();
    ensure(!tells || cause.contains(words), || {
        format!("{error}: {cause}")
    })
}

fn maps(host: &LinuxHost, token: &TokenFd) -> Outcome {
    let mut request = MapCreate::new(MapType::Hash, "delegated", 4, 4, 1);
    expect_err("a map without a token", host.map_create(&request))?;
    request.token = Some(token);
    let map = host.map_create(&request)?;
    host.map_update_elem(&map, &[1; 4], &[2; 4], 0)?;
    request.map_type = MapType::Array;
    let error = expect_err("an array", host.map_create(&request))?;
    lacks(host, &error, "does not delegate maps of type array")
}

fn programs(host: &LinuxHost, token: &TokenFd) -> Outcome {
    let code = code("r0 = 2\n exit")?;
    let mut request = ProgramLoad::new(ProgramType::Xdp, "delegated", &code);
    request.expected_attach_type = Some(AttachType::Xdp);
    expect_err("a program without a token", host.prog_load(&request))?;
    request.token = Some(token);
    host.prog_load(&request)?;
    request.program_type = ProgramType::SocketFilter;
    request.expected_attach_type = None;
    let error = expect_err("a socket filter", host.prog_load(&request))?;
    lacks(
        host,
        &error,
        "does not delegate programs of type socket_filter",
    )
}
