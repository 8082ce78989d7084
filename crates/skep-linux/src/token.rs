//! The token that a host goes by: what a process in a container's user namespace, whose
//! capabilities don't count for the kernel's BPF, is let do by a bpffs that delegates.
//!
//! A host puts it to every command that takes one, unless the request brings its own. The kernel
//! looks at the process' capabilities wherever a token does not delegate what is asked, so that a
//! token never takes anything away.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use skep_abi::Capability;
use skep_host::{BtfLoad, Cause, Error, MapCreate, ProgramLoad, Result, TokenFd, TokenInfo};

use crate::{
    LinuxHost, btf,
    cause::{self, token},
    host::kept,
    info,
    may::Wanted,
    process,
};

/// Where containers have their bpffs.
const USUAL: &str = "/sys/fs/bpf";
/// Names another place, as it does for libbpf; empty for none.
const VARIABLE: &str = "LIBBPF_BPF_TOKEN_PATH";

/// A host's token, and where it comes from.
#[derive(Debug)]
pub(crate) struct Own {
    bpffs: Option<PathBuf>,
    made: OnceLock<TokenFd>,
}

impl Own {
    /// Of the bpffs that the environment names, or of the usual one.
    pub(crate) fn usual() -> Self {
        let named = env::var_os(VARIABLE).map(PathBuf::from);
        let bpffs = named.unwrap_or_else(|| USUAL.into());
        Self {
            bpffs: (!bpffs.as_os_str().is_empty()).then_some(bpffs),
            made: OnceLock::new(),
        }
    }
}

impl LinuxHost {
    /// The kernel, by the token of a bpffs that delegates to this process' user namespace. Since
    /// 6.9.
    ///
    /// [`new`](Self::new) finds the token by itself where the bpffs is mounted at `/sys/fs/bpf`, or
    /// where the environment's `LIBBPF_BPF_TOKEN_PATH` says; this one says why there is none.
    ///
    /// # Errors
    /// There is no bpffs at `bpffs`, it delegates nothing, or belongs to another user namespace
    /// than this process is in; the initial one has no tokens.
    #[doc(alias = "bpf_token_path")]
    pub fn with_token(bpffs: &Path) -> Result<Self> {
        let mut host = Self::new()?;
        let made = OnceLock::new();
        let token = btf::token(&host, bpffs)?;
        // It was empty.
        let _ = made.set(token);
        host.token = Own {
            bpffs: Some(bpffs.into()),
            made,
        };
        Ok(host)
    }

    /// The host's token, made when it is first needed; `None` outside of user namespaces, where the
    /// kernel makes none, and where there is no bpffs that delegates.
    pub(crate) fn token(&self) -> Option<&TokenFd> {
        self.try_token()?.ok()
    }

    /// The same, with what keeps a user namespace from a token.
    pub(crate) fn try_token(&self) -> Option<Result<&TokenFd>> {
        if let Some(made) = self.token.made.get() {
            return Some(Ok(made));
        }
        let bpffs = self.token.bpffs.as_deref()?;
        process::in_user_namespace().then(|| kept(&self.token.made, || btf::token(self, bpffs)))
    }

    /// Where the token comes from, or would.
    #[cfg(feature = "probes")]
    pub(crate) fn bpffs(&self) -> Option<&Path> {
        self.token.bpffs.as_deref()
    }

    /// What the token delegates; `None` before 6.17, where tokens don't tell.
    pub(crate) fn delegated(&self) -> Option<TokenInfo> {
        info::token_raw(self.token()?).ok()
    }

    /// Why the capabilities that this process has in its user namespace are of no use.
    pub(crate) fn why_no_use(&self, names: &str) -> Cause {
        let only = format!(
            "this process has {names} in a user namespace only (a container's, or of `unshare`)"
        );
        let (what, fix) = match self.try_token() {
            Some(Ok(_)) => (
                format!("{only}, and its BPF token does not delegate this"),
                "mount the token's bpffs with `delegate_*` options that have it, or run it as root \
                 outside of the namespace"
                    .into(),
            ),
            Some(Err(error)) => (
                format!("{only}, and there is no BPF token: {}", reason(&error)),
                "run it as root outside of the namespace, or mount a bpffs that delegates for it"
                    .into(),
            ),
            None => (
                only,
                "run it as root outside of the namespace, or give it a BPF token".into(),
            ),
        };
        Cause::Process { what, fix }
    }

    /// Whether this process may load and attach such programs by its token: it takes the
    /// capabilities in its own user namespace, and what the token delegates, as far as tokens tell.
    pub(crate) fn token_permits(
        &self,
        needed: &[Capability],
        programs: &[Wanted],
    ) -> Result<(), Cause> {
        if let Some(cause) = cause::missing_anywhere(self, needed) {
            return Err(cause);
        }
        let Some(info) = self.delegated() else {
            return Ok(());
        };
        let lacking = |wanted: &Wanted| token::not_delegated(&info, wanted.delegated());
        match programs.iter().find_map(lacking) {
            Some(cause) => Err(cause),
            None => Ok(()),
        }
    }

    /// A map to create, with the host's token if it has none of its own.
    pub(crate) fn delegate_map<'a>(&'a self, request: &MapCreate<'a>) -> MapCreate<'a> {
        MapCreate {
            token: request.token.or_else(|| self.token()),
            ..request.clone()
        }
    }

    /// The same of a program.
    pub(crate) fn delegate_program<'a>(&'a self, request: &ProgramLoad<'a>) -> ProgramLoad<'a> {
        ProgramLoad {
            token: request.token.or_else(|| self.token()),
            ..request.clone()
        }
    }

    /// The same of BTF.
    pub(crate) fn delegate_btf<'a>(&'a self, request: &BtfLoad<'a>) -> BtfLoad<'a> {
        BtfLoad {
            token: request.token.or_else(|| self.token()),
            ..*request
        }
    }
}

/// An error's cause, or else itself.
pub(crate) fn reason(error: &Error) -> String {
    let cause = error.cause();
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}
