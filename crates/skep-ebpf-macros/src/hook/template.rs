//! Rust text with holes: what quoting macros do, for the little that is needed here.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

use super::syntax::is_punct;

/// The tokens of `text`, in which `$0`, `$1`, … stand for `parts`.
pub(super) fn fill(text: &str, parts: &[&TokenStream]) -> TokenStream {
    // The texts are this crate's own.
    let tokens: TokenStream = text.parse().unwrap_or_default();
    replace(tokens, parts)
}

fn replace(tokens: TokenStream, parts: &[&TokenStream]) -> TokenStream {
    let mut filled = TokenStream::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            hole if is_punct(&hole, '$') => {
                let number = tokens.next().map(|number| number.to_string());
                let index: Option<usize> = number.and_then(|number| number.parse().ok());
                let part = index.and_then(|index| parts.get(index));
                filled.extend(part.map(|&part| part.clone()).unwrap_or_default());
            }
            TokenTree::Group(group) => {
                let mut inside = Group::new(group.delimiter(), replace(group.stream(), parts));
                inside.set_span(group.span());
                filled.extend([TokenTree::Group(inside)]);
            }
            token => filled.extend([token]),
        }
    }
    filled
}

/// The tokens in braces.
pub(super) fn block(tokens: TokenStream) -> TokenStream {
    TokenTree::Group(Group::new(Delimiter::Brace, tokens)).into()
}
