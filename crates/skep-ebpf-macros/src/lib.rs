//! The attribute macros of `skep-ebpf`.
//!
//! They read tokens by themselves and depend on nothing: `skep build FILE.rs` compiles this crate
//! from the sources that it carries, with rustc alone, and a parser of the whole language would
//! take longer than everything else together.

mod map;

use proc_macro::TokenStream;

/// A map: a `static` of one of `skep_ebpf`'s map types becomes a BTF-defined map of that name.
#[proc_macro_attribute]
pub fn map(_attribute: TokenStream, item: TokenStream) -> TokenStream {
    map::expand(item)
}
