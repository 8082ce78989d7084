//! `#[struct_ops]` on a static: a struct of operations that is registered with the kernel.

use crate::quote::Error;
use proc_macro::{Span, TokenStream, TokenTree};

use super::syntax::is_ident;
use super::template::fill;

/// Whether an item is a static.
pub(super) fn is_static(item: &TokenStream) -> bool {
    let mut words = item.clone().into_iter();
    words.any(|token| is_ident(&token, "static"))
        && !item.clone().into_iter().any(|token| is_ident(&token, "fn"))
}

/// The static, exported by its name in the section for it.
pub(super) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let words: Vec<TokenTree> = attribute.into_iter().collect();
    let section = match words.as_slice() {
        [] => ".struct_ops.link",
        [word] if is_ident(word, "without_link") => ".struct_ops",
        [other, ..] => {
            let says = "a struct of operations has one option: `without_link`, for kernels before \
                        6.4, or where it is to stay when the loader ends";
            return Err(Error::new(other.span(), says));
        }
    };
    if let Some(word) = item
        .clone()
        .into_iter()
        .find(|token| is_ident(token, "mut"))
    {
        let says = "the kernel has a copy of its own, so that changing it would do nothing: leave \
                    `mut` away";
        return Err(Error::new(word.span(), says));
    }
    if item.is_empty() {
        return Err(Error::new(Span::call_site(), "expected a static"));
    }
    Ok(fill(
        &format!(
            "#[cfg_attr(target_arch = \"bpf\", unsafe(no_mangle), unsafe(link_section = \"{section}\"))]
             #[used]
             $0"
        ),
        &[&item],
    ))
}
