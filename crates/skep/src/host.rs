//! Hosts as users choose them, with what linking needs to know of them read once, and only
//! when it is needed.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use skep_btf::{Btf, BtfData};
use skep_host::{Cause, Host as Boundary, HostInfo};

use crate::{Object, Result};

/// What runs programs: the Linux kernel, or another implementation of [`skep_host::Host`].
///
/// Cloning is cheap; clones share the host and what was read of it.
#[derive(Clone)]
pub struct Host {
    boundary: Arc<dyn Boundary>,
    btf: Arc<OnceLock<Arc<Btf>>>,
    #[cfg(feature = "vm")]
    vm: Option<skep_vm::Vm>,
    why_not_kernel: Option<Arc<Cause>>,
}

impl Host {
    /// The host to use here: the kernel where this process may load programs into it
    /// (`CAP_BPF`), else a new virtual machine; [`why_not_kernel`](Self::why_not_kernel) then says
    /// what was in the way. [`auto_for`](Self::auto_for) also looks at what a program takes beyond.
    ///
    /// Whether the kernel may be used is found by trying, which takes some 20 µs. Without the crate's
    /// feature `vm` there is nothing to choose, and nothing is tried.
    ///
    /// # Errors
    /// No host can be used here.
    pub fn auto() -> Result<Self> {
        #[cfg(feature = "vm")]
        if let Some(why) = kernel_refuses(std::iter::empty()) {
            return Self::instead(why);
        }
        Self::kernel()
    }

    /// The same for the programs that an object would load: those that trace also take
    /// `CAP_PERFMON`, those of the network `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// As [`auto`](Self::auto).
    pub fn auto_for(object: &Object) -> Result<Self> {
        #[cfg(feature = "vm")]
        if let Some(why) = kernel_refuses(object.chosen_programs()) {
            return Self::instead(why);
        }
        #[cfg(not(feature = "vm"))]
        let _ = object;
        Self::kernel()
    }

    /// A virtual machine, since the kernel can't be used.
    #[cfg(feature = "vm")]
    fn instead(why: Cause) -> Result<Self> {
        Ok(Self {
            why_not_kernel: Some(Arc::new(why)),
            ..Self::vm()?
        })
    }

    /// Why [`auto`](Self::auto) or [`auto_for`](Self::auto_for) took the virtual machine: what
    /// keeps this process from the kernel. `None` for a host that was asked for by its name.
    #[must_use]
    pub fn why_not_kernel(&self) -> Option<&Cause> {
        self.why_not_kernel.as_deref()
    }

    /// The running Linux kernel.
    ///
    /// # Errors
    /// This is not Linux. A missing privilege shows when something is asked of the kernel.
    #[cfg(target_os = "linux")]
    pub fn kernel() -> Result<Self> {
        Ok(Self::new(Arc::new(skep_linux::LinuxHost::new()?)))
    }

    /// The running Linux kernel.
    ///
    /// # Errors
    /// Always: this is not Linux.
    #[cfg(not(target_os = "linux"))]
    pub fn kernel() -> Result<Self> {
        Err(crate::Error::NoHost {
            reason: "this is not Linux".into(),
            fix: "run it on Linux, or in a Linux virtual machine".into(),
        })
    }

    /// The running Linux kernel, by the token of the bpffs that is mounted at `bpffs`: for a process
    /// of a container, which has its capabilities in a user namespace only, and a bpffs that
    /// delegates to it (`delegate_cmds`, `delegate_maps`, `delegate_progs`, `delegate_attachs`). Since
    /// 6.9.
    ///
    /// [`kernel`](Self::kernel) and [`auto`](Self::auto) find the token of `/sys/fs/bpf`, or of
    /// the place that the environment's `LIBBPF_BPF_TOKEN_PATH` names, by themselves.
    ///
    /// # Errors
    /// It gives no token: no bpffs is there, it delegates nothing, or to another user namespace.
    #[cfg(target_os = "linux")]
    #[doc(alias = "bpf_token_path")]
    pub fn kernel_by_token(bpffs: impl AsRef<std::path::Path>) -> Result<Self> {
        let host = skep_linux::LinuxHost::with_token(bpffs.as_ref())?;
        Ok(Self::new(Arc::new(host)))
    }

    /// A new virtual machine in this process, which needs no privileges. Its clones, and what is
    /// loaded into it, share it.
    ///
    /// # Errors
    /// There is no memory for it.
    #[cfg(feature = "vm")]
    pub fn vm() -> Result<Self> {
        let made = skep_vm::Vm::new()
            .map_err(|errno| skep_host::Error::system("make", "a virtual machine", errno))?;
        Ok(Self::of_vm(made))
    }

    /// A virtual machine that the caller made, to its own measure; they share it.
    #[cfg(feature = "vm")]
    #[must_use]
    pub fn of_vm(vm: skep_vm::Vm) -> Self {
        Self {
            vm: Some(vm.clone()),
            ..Self::new(Arc::new(vm))
        }
    }

    /// The virtual machine that it is, for what only that can do: trace a command, take packets,
    /// move time.
    #[cfg(feature = "vm")]
    #[must_use]
    pub fn as_vm(&self) -> Option<&skep_vm::Vm> {
        self.vm.as_ref()
    }

    /// Any implementation of the boundary.
    pub fn new(boundary: Arc<dyn Boundary>) -> Self {
        Self {
            boundary,
            btf: Arc::new(OnceLock::new()),
            #[cfg(feature = "vm")]
            vm: None,
            why_not_kernel: None,
        }
    }

    /// Who it is.
    pub fn info(&self) -> &HostInfo {
        self.boundary.info()
    }

    /// The `bpf(2)` boundary beneath: every command, typed.
    pub fn boundary(&self) -> &Arc<dyn Boundary> {
        &self.boundary
    }

    /// The host's own types. Mapped and indexed at the first call.
    ///
    /// # Errors
    /// The host has none (a kernel without `CONFIG_DEBUG_INFO_BTF`), or they are damaged.
    pub fn btf(&self) -> Result<Arc<Btf>> {
        if let Some(btf) = self.btf.get() {
            return Ok(Arc::clone(btf));
        }
        let bytes = self.boundary.btf(None)?;
        let btf = Arc::new(Btf::parse_trusted(BtfData::from(bytes), None)?);
        Ok(Arc::clone(self.btf.get_or_init(|| btf)))
    }
}

/// What keeps this process from the kernel, for these programs.
#[cfg(all(feature = "vm", target_os = "linux"))]
fn kernel_refuses<'p>(programs: impl Iterator<Item = &'p skep_object::Program>) -> Option<Cause> {
    let wanted = programs
        .map(|program| skep_linux::Wanted::new(program.program_type(), program.attach_type()));
    let wanted: Vec<_> = wanted.collect();
    let kernel = skep_linux::LinuxHost::new().ok()?;
    kernel.permits(&wanted).err()
}

/// There is none.
#[cfg(all(feature = "vm", not(target_os = "linux")))]
fn kernel_refuses<'p>(_: impl Iterator<Item = &'p skep_object::Program>) -> Option<Cause> {
    Some(Cause::Process {
        what: "this is not Linux".into(),
        fix: "run it on Linux, or in a Linux virtual machine".into(),
    })
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.boundary).finish()
    }
}
