//! Which host a command uses: `--host`, what `auto` finds here, and the line that says it.

use clap::{Args, ValueEnum};
use skep::{
    Host, Object,
    boundary::{Cause, HostKind},
};

use crate::exit::Usage;

/// A host by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HostName {
    /// The kernel where it may be used, else the virtual machine
    Auto,
    /// The running Linux kernel
    Kernel,
    /// The virtual machine: no privileges, nothing outside of this process
    Vm,
}

impl HostName {
    /// The host, whatever is to be done on it.
    pub(crate) fn open(self) -> skep::Result<Host> {
        match self {
            Self::Auto => Host::auto(),
            Self::Kernel => Host::kernel(),
            Self::Vm => Host::vm(),
        }
    }
}

/// The flag.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// What runs the programs
    #[arg(long, value_enum, value_name = "HOST", default_value = "auto")]
    pub(crate) host: HostName,
}

impl HostArgs {
    /// The host for an object, said on stderr with the reason. `vm_only` names what the command
    /// line asks for that only the virtual machine has.
    pub(crate) fn choose(&self, object: &Object, vm_only: Option<&str>) -> anyhow::Result<Host> {
        self.choose_with(object, vm_only, Host::vm)
    }

    /// The same with a virtual machine to the command's measure, if it is one.
    pub(crate) fn choose_with(
        &self,
        object: &Object,
        vm_only: Option<&str>,
        vm: impl FnOnce() -> skep::Result<Host>,
    ) -> anyhow::Result<Host> {
        if let (HostName::Kernel, Some(what)) = (self.host, vm_only) {
            let text = format!("--host kernel: {what} is for the virtual machine");
            return Err(Usage(text).into());
        }
        let host = match self.host {
            HostName::Kernel => Host::kernel()?,
            HostName::Vm => vm()?,
            HostName::Auto if vm_only.is_some() => vm()?,
            HostName::Auto => Host::auto_for(object)?,
        };
        let because = match host.why_not_kernel() {
            Some(cause) => Some(format!(
                "{}; `skep doctor` says how to use the kernel",
                briefly(cause)
            )),
            None => vm_only.map(str::to_owned),
        };
        say!("{}", line(&host, because.as_deref()));
        Ok(host)
    }
}

fn line(host: &Host, because: Option<&str>) -> String {
    let name = match host.info().kind {
        // Its version says nothing that skep's own does not.
        HostKind::Vm => "vm".to_owned(),
        HostKind::Kernel => host.info().to_string(),
    };
    match because {
        Some(because) => format!("host: {name} ({because})"),
        None => format!("host: {name}"),
    }
}

/// A cause in as few words as a line has room for.
pub(crate) fn briefly(cause: &Cause) -> String {
    match cause {
        Cause::MissingCapability(names) => format!("no {} here", names.join(" and ")),
        other => other.to_string(),
    }
}
