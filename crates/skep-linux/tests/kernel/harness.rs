//! The host that all tests share, and names for what they make; the rest is `skep-testing`.

use std::sync::LazyLock;

use skep_host::Host as _;
use skep_linux::LinuxHost;

static HOST: LazyLock<LinuxHost> = LazyLock::new(|| {
    let host = LinuxHost::new().expect("a kernel that says its version");
    // What the host keeps open for itself is no leak of the first test that needs it.
    let _ = host.tracepoints();
    let _ = skep_linux::report(&host);
    host
});

/// The host that all tests share.
pub(crate) fn host() -> &'static LinuxHost {
    &HOST
}

/// A name for a program or map of this process.
pub(crate) fn name(rest: &str) -> String {
    format!("t{}_{rest}", std::process::id())
}
