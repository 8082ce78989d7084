//! Licences of programs.

/// Whether the kernel takes a program's licence for compatible with the GPL, so that it may use
/// what is for such programs only.
///
/// ```
/// assert!(skep_abi::is_gpl_compatible("Dual BSD/GPL"));
/// assert!(!skep_abi::is_gpl_compatible("MIT"));
/// ```
#[doc(alias = "license_is_gpl_compatible")]
#[must_use]
pub fn is_gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL"
            | "GPL v2"
            | "GPL and additional rights"
            | "Dual BSD/GPL"
            | "Dual MIT/GPL"
            | "Dual MPL/GPL"
    )
}
