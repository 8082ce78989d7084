//! The machine that code is made for: this one, with what its processor has.

use std::sync::OnceLock;

use cranelift_codegen::{
    isa::{self, OwnedTargetIsa},
    settings::{self, Configurable as _},
};

/// This machine; made once a process. `None` where there is no compiler for it.
pub(super) fn native() -> Option<&'static OwnedTargetIsa> {
    static NATIVE: OnceLock<Option<OwnedTargetIsa>> = OnceLock::new();
    NATIVE.get_or_init(|| target(NAME, &features())).as_ref()
}

#[cfg(target_arch = "x86_64")]
const NAME: &str = "x86_64-unknown-linux-gnu";
#[cfg(target_arch = "aarch64")]
const NAME: &str = "aarch64-unknown-linux-gnu";
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const NAME: &str = "unknown";

/// A machine by its name, with these features.
pub(super) fn target(name: &str, features: &[&str]) -> Option<OwnedTargetIsa> {
    let mut flags = settings::builder();
    let verify = if cfg!(debug_assertions) {
        "true"
    } else {
        "false"
    };
    for (name, value) in [
        // Programs come from optimizing compilers. What Cranelift's own optimizer would do takes as
        // long as all the rest, and its way with additions costs loops their last register.
        ("opt_level", "none"),
        ("enable_verifier", verify),
        // Other threads write what programs read: a second load is a second load.
        ("enable_alias_analysis", "false"),
        ("enable_probestack", "false"),
        ("unwind_info", "false"),
    ] {
        flags.set(name, value).ok()?;
    }
    let mut builder = isa::lookup_by_name(name).ok()?;
    for feature in features {
        builder.enable(feature).ok()?;
    }
    builder.finish(settings::Flags::new(flags)).ok()
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let mut features = Vec::new();
    macro_rules! detect {
        ($($name:tt $feature:literal)*) => {$(
            if std::arch::is_x86_feature_detected!($name) {
                features.push($feature);
            }
        )*};
    }
    detect!("sse3" "has_sse3" "ssse3" "has_ssse3" "sse4.1" "has_sse41" "sse4.2" "has_sse42");
    detect!("avx" "has_avx");
    detect!("bmi1" "has_bmi1" "bmi2" "has_bmi2" "lzcnt" "has_lzcnt" "popcnt" "has_popcnt");
    features
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    if std::arch::is_aarch64_feature_detected!("lse") {
        vec!["has_lse"]
    } else {
        Vec::new()
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}
