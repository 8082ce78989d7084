//! `#[shared]`: a type of both sides, the kernel's and user space's.

use proc_macro::TokenStream;

use crate::quote::Error;

/// The structure, plain on both sides, and read by zerocopy where it is not compiled for BPF.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    if let Some(extra) = attribute.into_iter().next() {
        let message = format!("`{extra}` is too much: `#[shared]` stands alone");
        return Err(Error::new(extra.span(), message));
    }
    let mut code: TokenStream = "#[derive(Clone, Copy, ::skep_ebpf::Plain)]
        #[cfg_attr(
            not(target_arch = \"bpf\"),
            derive(
                Debug,
                ::zerocopy::FromBytes,
                ::zerocopy::IntoBytes,
                ::zerocopy::Immutable,
                ::zerocopy::KnownLayout,
            )
        )]
        #[repr(C)]"
        .parse()
        .unwrap_or_default();
    code.extend(item);
    Ok(code)
}
