//! `#[ksym]` and `#[kconfig]`: statics without a value, which the kernel has; and the question
//! whether it has a function.

use proc_macro::{Ident, TokenStream, TokenTree};

use super::{HIDDEN, Head, Options, Record, expected, is_word, kernel_name};
use crate::{
    place::is,
    quote::{Error, Quote},
};

/// A variable, or what is only known to have an address.
pub(crate) fn symbol(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let what = "a static without a value: `static init_task: task_struct;`";
    expand("ksym", "::skep_ebpf::Ksym", what, attribute, item)
}

/// A value of the kernel's configuration.
pub(crate) fn configuration(
    attribute: TokenStream,
    item: TokenStream,
) -> Result<TokenStream, Error> {
    let what = "a static without a value: `static CONFIG_HZ: u32;`";
    expand("kconfig", "::skep_ebpf::Kconfig", what, attribute, item)
}

/// A constant of the static's name, which has its address.
fn expand(
    kind: &str,
    outer: &str,
    what: &str,
    attribute: TokenStream,
    item: TokenStream,
) -> Result<TokenStream, Error> {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    if tokens.last().is_some_and(|token| is(token, ';')) {
        tokens.pop();
    }
    let Head {
        kept,
        visibility,
        options,
        rest,
    } = Head::read(&tokens, Options::read(attribute)?)?;
    let (name, of) = match rest {
        [word, TokenTree::Ident(name), colon, of @ ..]
            if is_word(word, "static") && is(colon, ':') && !of.is_empty() =>
        {
            (name, of)
        }
        [first, ..] => return Err(expected(Some(first), what)),
        [] => return Err(expected(None, what)),
    };
    if let Some(equals) = of.iter().find(|token| is(token, '=')) {
        return Err(expected(Some(equals), what));
    }
    Ok(constant(kind, outer, kept, visibility, &options, name, of).into())
}

fn constant(
    kind: &str,
    outer: &str,
    kept: Vec<TokenTree>,
    visibility: Vec<TokenTree>,
    options: &Options,
    name: &Ident,
    of: &[TokenTree],
) -> Quote {
    let of: TokenStream = of.iter().cloned().collect();
    let kernel = kernel_name(options, name);
    let whole = |quote: Quote| quote.code(outer).code("::<").tokens(of.clone()).code(">");
    let declared = Quote::new(&format!(
        "#[allow(improper_ctypes)] #[link_name = {kernel:?}] static SYMBOL:"
    ))
    .tokens(of.clone())
    .code(";");
    let body = Record::new(kind, options, &kernel)
        .of(of.clone())
        .left()
        .code("#[cfg(target_arch = \"bpf\")] unsafe extern \"C\"")
        .braces(declared)
        .code("#[cfg(target_arch = \"bpf\")] const PLACE: *const")
        .tokens(of.clone())
        .code("= &raw const SYMBOL; #[cfg(not(target_arch = \"bpf\"))] const PLACE: *const")
        .tokens(of.clone())
        .code("= ::core::ptr::null();")
        .tokens(TokenStream::from(whole(Quote::default())))
        .code("::new(PLACE)");
    let quote = Quote::new("#[allow(non_upper_case_globals, unsafe_code, dead_code)]")
        .tokens(kept)
        .tokens(visibility)
        .code("const")
        .ident(name)
        .code(":");
    whole(quote).code("=").braces(body).code(";")
}

/// `exists(function as *const ())`.
pub(crate) fn exists(input: TokenStream) -> Result<TokenStream, Error> {
    if input.is_empty() {
        return Err(expected(None, "a function that `#[kfunc]` declares"));
    }
    let place = Quote::default().tokens(input).code("as *const ()");
    Ok(Quote::new(HIDDEN).code("exists").parens(place).into())
}
