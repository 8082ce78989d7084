//! `skep attach`, `skep detach`: programs that are loaded already, put on hooks by links that outlive
//! the command, and taken off again.

use std::{
    fs::File,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use skep::{
    Host,
    abi::{AttachType, ObjectFlags},
    boundary::{
        self, AttachPoint, CgroupMode, Errno, MapFd, NetfilterHook, NetkitEnd, Pinned, Position,
        ProgramFd, TcxDirection, XdpMode,
    },
    spec::{AttachKind, SectionName},
};

use crate::{exit::Usage, output::write_line};

/// Something that the kernel has: by its id, or by the path that it is pinned at.
#[derive(Debug, Clone)]
enum Named {
    Id(u32),
    Pin(PathBuf),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("id:").map(str::parse) {
            Some(Ok(id)) => Ok(Self::Id(id)),
            None if text.contains('/') => Ok(Self::Pin(text.into())),
            _ => Err("it is neither id:7 nor a path such as /sys/fs/bpf/name".into()),
        }
    }
}

/// Attach a program that is loaded already
///
/// The link is pinned, so that it outlives this command: `skep detach` with the same path ends it.
/// Does what `bpftool net attach`, `bpftool cgroup attach` and `bpftool prog attach` do, by links.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The program: id:7, or the path that it is pinned at
    #[arg(value_name = "PROGRAM")]
    program: Named,

    /// The hook, as sections name it: xdp, tcx/ingress, cgroup/connect4, sk_lookup, sk_msg, …
    #[arg(value_name = "HOOK")]
    hook: String,

    /// Where the link is pinned, in a bpffs
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pin: PathBuf,

    /// The network device of xdp, tcx and netkit programs
    #[arg(short = 'i', long, value_name = "NAME")]
    device: Option<String>,

    /// The cgroup of cgroup programs
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    cgroup: Option<PathBuf>,

    /// Where among others tcx, netkit and cgroup programs run [default: last]
    #[arg(long, value_name = "PLACE")]
    order: Option<Position>,

    /// The hook of netfilter programs: ipv4/local-in
    #[arg(long, value_name = "HOOK")]
    netfilter: Option<NetfilterHook>,

    /// The network namespace of sk_lookup and flow_dissector programs [default: this one]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    netns: Option<PathBuf>,

    /// The map whose sockets sk_msg and sk_skb programs are for: id:7, or its pin
    #[arg(long, value_name = "MAP")]
    sockets: Option<Named>,
}

/// Detach what a link attaches
///
/// It ends whoever else holds the link, where the kernel can (cgroups, devices, namespaces, maps of
/// sockets); the pin is removed.
#[derive(Debug, Args)]
pub(crate) struct DetachArgs {
    /// The link: the path that it is pinned at, or id:7
    #[arg(value_name = "LINK")]
    link: Named,
}

type Kernel = Arc<dyn boundary::Host>;

fn kernel() -> anyhow::Result<Kernel> {
    Ok(Arc::clone(Host::kernel()?.boundary()))
}

fn program(kernel: &Kernel, named: &Named) -> anyhow::Result<ProgramFd> {
    match named {
        Named::Id(id) => kernel
            .prog_by_id(*id)?
            .with_context(|| format!("there is no program {id}")),
        Named::Pin(path) => match kernel.obj_get(path.as_path().into(), ObjectFlags::empty())? {
            Pinned::Program(program) => Ok(program),
            _ => anyhow::bail!("what is pinned at {} is no program", path.display()),
        },
    }
}

fn map(kernel: &Kernel, named: &Named) -> anyhow::Result<MapFd> {
    match named {
        Named::Id(id) => kernel
            .map_by_id(*id, ObjectFlags::empty())?
            .with_context(|| format!("there is no map {id}")),
        Named::Pin(path) => match kernel.obj_get(path.as_path().into(), ObjectFlags::empty())? {
            Pinned::Map(map) => Ok(map),
            _ => anyhow::bail!("what is pinned at {} is no map", path.display()),
        },
    }
}

pub(crate) fn attach(args: &AttachArgs) -> anyhow::Result<ExitCode> {
    let section = SectionName::parse(&args.hook)?;
    let kernel = kernel()?;
    let program = program(&kernel, &args.program)?;
    let info = kernel.prog_info(&program)?;
    if info.program_type() != Some(section.program_type()) {
        let loaded = info
            .program_type()
            .map_or("another type", |kind| kind.name());
        anyhow::bail!(
            "program `{}` is loaded as {loaded}, and {} takes {}",
            info.name,
            args.hook,
            section.program_type().name()
        );
    }
    let lacks = |flag: &str| Usage(format!("{} needs {flag}", args.hook));
    let device = || -> anyhow::Result<u32> {
        let name = args.device.as_deref().ok_or_else(|| lacks("--device"))?;
        Ok(kernel.device_index(name)?)
    };
    let order = args.order.unwrap_or_default().into();
    let attach_type = section.attach_type();
    let named = || {
        let reason = format!("{} leaves open which hook it is", args.hook);
        attach_type.ok_or(Usage(reason))
    };
    let put = |point: &AttachPoint<'_>| put(&kernel, &info.name, &program, point, &args.pin);
    match section.kind() {
        AttachKind::Xdp => put(&AttachPoint::Xdp {
            ifindex: device()?,
            mode: XdpMode::Auto,
        }),
        AttachKind::Tc => put(&AttachPoint::Tcx {
            ifindex: device()?,
            direction: match named()? {
                AttachType::TcxEgress => TcxDirection::Egress,
                _ => TcxDirection::Ingress,
            },
            order,
        }),
        AttachKind::Netkit => put(&AttachPoint::Netkit {
            ifindex: device()?,
            end: match named()? {
                AttachType::NetkitPeer => NetkitEnd::Peer,
                _ => NetkitEnd::Primary,
            },
            order,
        }),
        AttachKind::Cgroup => {
            let path = args.cgroup.as_deref().ok_or_else(|| lacks("--cgroup"))?;
            put(&AttachPoint::Cgroup {
                cgroup: &kernel.cgroup_open(path)?,
                attach_type: named()?,
                mode: CgroupMode::Link,
                order,
            })
        }
        AttachKind::Netfilter => {
            let hook = args.netfilter.ok_or_else(|| lacks("--netfilter"))?;
            put(&AttachPoint::Netfilter(hook))
        }
        AttachKind::Netns => {
            let own = Path::new("/proc/self/ns/net");
            let path = args.netns.as_deref().unwrap_or(own);
            let file = File::open(path)
                .with_context(|| format!("cannot open network namespace {}", path.display()))?;
            put(&AttachPoint::Netns {
                netns: file.as_raw_fd(),
                attach_type: named()?,
            })
        }
        AttachKind::Sockmap => {
            let sockets = args.sockets.as_ref().ok_or_else(|| lacks("--sockets"))?;
            put(&AttachPoint::Sockmap {
                map: &map(&kernel, sockets)?,
                attach_type: named()?,
            })
        }
        _ => Err(Usage(format!(
            "{} is not among the hooks of loaded programs: they are xdp, tcx/…, netkit/…, cgroup/…, \
             cgroup_skb/…, sockops, netfilter, sk_lookup, flow_dissector, sk_msg and sk_skb/…; \
             `skep run` attaches to all others",
            args.hook
        ))
        .into()),
    }
}

/// Attaches by a link, and pins that.
fn put(
    kernel: &Kernel,
    name: &str,
    program: &ProgramFd,
    point: &AttachPoint<'_>,
    pin: &Path,
) -> anyhow::Result<ExitCode> {
    let program_type = kernel.prog_info(program)?.program_type();
    let program_type = program_type.context("its type is not known")?;
    let attachment = kernel.attach(name, program, program_type, point)?;
    let link = attachment
        .link_fd()
        .context("this kernel attaches it without a link, so nothing would keep it")?;
    // Not pinned, it is detached again by the end of this.
    kernel.obj_pin(link.descriptor(), pin.into())?;
    let id = kernel.link_info(link)?.id;
    write_line(format_args!(
        "{name} is attached to {point} by link {id}, pinned at {}",
        pin.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn detach(args: &DetachArgs) -> anyhow::Result<ExitCode> {
    let kernel = kernel()?;
    let (link, pin) = match &args.link {
        Named::Id(id) => {
            let link = kernel.link_by_id(*id)?;
            (
                link.with_context(|| format!("there is no link {id}"))?,
                None,
            )
        }
        Named::Pin(path) => match kernel.obj_get(path.as_path().into(), ObjectFlags::empty())? {
            Pinned::Link(link) => (link, Some(path)),
            _ => anyhow::bail!("what is pinned at {} is no link", path.display()),
        },
    };
    let id = kernel.link_info(&link)?.id;
    let detached = match kernel.link_detach(&link) {
        Ok(()) => true,
        // It ends with the last who holds it, and this may be the pin.
        Err(error) if pin.is_some() && error.errno() == Some(Errno::EOPNOTSUPP) => false,
        Err(error) => return Err(error).context("links of other hooks end with who holds them"),
    };
    drop(link);
    if let Some(path) = pin {
        kernel.obj_unpin(path)?;
    }
    if !detached && kernel.link_by_id(id)?.is_some() {
        anyhow::bail!(
            "the pin is removed, but another process or pin holds link {id}, still attached"
        );
    }
    write_line(format_args!("link {id} is detached"))?;
    Ok(ExitCode::SUCCESS)
}
