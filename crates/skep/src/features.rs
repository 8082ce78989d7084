//! What can be used on a host: asked by [`Host::probe`], feature by feature.
//!
//! ```no_run
//! use skep::{Host, abi::{Helper, MapType, ProgramType}};
//! use skep::features::{Feature, Probe};
//!
//! let host = Host::auto()?;
//! match host.probe(&Feature::MapType(MapType::Arena)) {
//!     Probe::Yes => println!("arenas can be created"),
//!     Probe::No { cause } => println!("no: {cause}; {}", cause.fix()),
//!     Probe::Unknown { why, .. } => println!("it could not be found out: {why}"),
//! }
//! // Of 211 helpers, those that XDP programs may call here.
//! let feature = |helper| Feature::Helper(helper, ProgramType::Xdp);
//! let callable = Helper::all().iter().filter(|helper| host.probe(&feature(helper)).is_yes());
//! println!("{} helpers", callable.count());
//! # Ok::<(), skep::Error>(())
//! ```

pub use skep_abi::LoaderFeature;
pub use skep_host::{Feature, Hook, Probe};

use skep_btf::{KindTag, TypeId};

use crate::{Host, Result};

/// The tag that the kernel's build puts on each function that programs may call. Since 6.10.
const TAG: &str = "bpf_kfunc";

impl Host {
    /// Whether this host has something, found by trying it harmlessly: nothing stays behind.
    ///
    /// Three answers: what this process may not ask is `Unknown`, never `No`. A known answer holds
    /// for as long as the host value lives; an unknown one is sought anew each time.
    pub fn probe(&self, feature: &Feature) -> Probe {
        self.boundary().probe(feature)
    }

    /// The kernel functions that programs may call, by name: those that the host's BTF marks as
    /// such, without those of its modules. Which programs may call one, a probe says
    /// ([`Feature::KernelFunction`]). Empty where BTF has no marks: they take Linux 6.10, and the kernel's
    /// builder pahole 1.26.
    ///
    /// # Errors
    /// The host has no BTF, or it is damaged.
    pub fn kernel_functions(&self) -> Result<Vec<String>> {
        let btf = self.btf()?;
        let mut names: Vec<String> = btf
            .types()
            .filter_map(|tag| match tag.kind() {
                skep_btf::Kind::DeclTag(tag_of) if tag.name() == TAG => Some(tag_of.target),
                _ => None,
            })
            .filter_map(|target: TypeId| {
                let function = btf.type_by_id(target).ok()?;
                (function.tag() == Some(KindTag::Function)).then(|| function.name().to_owned())
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}
