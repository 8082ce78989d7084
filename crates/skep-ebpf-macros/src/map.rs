//! `#[map]`: puts a static where BTF-defined maps are looked for.

use proc_macro::TokenStream;

/// The static, exported by its own name, in `.maps`.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let mut expanded: TokenStream = "#[unsafe(no_mangle)] #[unsafe(link_section = \".maps\")]"
        .parse()
        .unwrap_or_default();
    expanded.extend(item);
    expanded
}
