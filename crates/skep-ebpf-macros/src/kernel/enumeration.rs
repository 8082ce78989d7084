//! `#[kernel]` on an `enum`: its values are the kernel's, known when a program is loaded.

use proc_macro::{Delimiter, Span, TokenStream, TokenTree};

use super::{Declaration, literal, split};
use crate::{
    place::is,
    quote::{Error, Quote, method, plain},
};

/// The integer that it is in memory, of C's choice unless `#[repr(…)]` says otherwise.
const REPR: &str = "u32";

pub(super) fn expand(declaration: Declaration, kernel_name: &str) -> Result<TokenStream, Error> {
    let Declaration { head, name, body } = declaration;
    let (repr, head) = repr(head)?;
    let bytes: usize = repr
        .get(1..)
        .and_then(|bits| bits.parse().ok())
        .unwrap_or(32)
        / 8;
    let letter = if repr.starts_with('i') { 'E' } else { 'e' };

    let mut methods = Quote::default();
    let mut values = Quote::default();
    let mut next = Quote::new("0");
    for (index, tokens) in split(body.stream()).into_iter().enumerate() {
        let mut docs = Vec::new();
        let mut rest = tokens.as_slice();
        while let [hash, TokenTree::Group(attribute), tail @ ..] = rest
            && is(hash, '#')
        {
            docs.extend([hash.clone(), TokenTree::Group(attribute.clone())]);
            rest = tail;
        }
        let (word, value) = match rest {
            [TokenTree::Ident(word)] => (word, next),
            [TokenTree::Ident(word), equals, value @ ..] if is(equals, '=') => {
                let value = Quote::default().tokens(value.iter().cloned());
                (word, Quote::default().parens(value).code("as i128"))
            }
            other => {
                let span = other.first().map_or_else(Span::call_site, TokenTree::span);
                let message = "expected an enumerator, such as `TCP_SYN_SENT = 2`";
                return Err(Error::new(span, message));
            }
        };
        let enumerator = format!("::skep_ebpf::co_re::hidden::Enumerator::<Self, {index}>");
        let known = plain(word);
        methods = methods
            .tokens(docs)
            .code("#[doc(hidden)] #[inline(always)] pub const fn")
            .ident(&method(&known, word.span())?)
            .code(&format!("() -> {enumerator}"))
            .braces(Quote::new(&enumerator).code("::new()"));
        let pair = Quote::default()
            .tokens([literal(&known)])
            .code(",")
            .tokens(TokenStream::from(value.clone()));
        values = values.parens(pair).code(",");
        next = Quote::default().parens(value).code("+ 1");
    }

    let text = format!("{letter}{bytes}{kernel_name};");
    let known = Quote::new(
        "const TEXT: ::skep_ebpf::co_re::hidden::Text = \
         ::skep_ebpf::co_re::hidden::Text::new().str",
    )
    .tokens(TokenStream::from(
        Quote::default().parens(TokenStream::from(literal(&text))),
    ))
    .code(";");
    let of = Quote::new("const ENUMERATORS: &'static [(&'static str, i128)] = &")
        .group(Delimiter::Bracket, values)
        .code(&format!(
            "; #[inline(always)] fn of(number: u64) -> Self {{ Self(number as {repr}) }}"
        ));
    let load = "type Value = Self;
        #[inline(always)]
        fn load<P: ::skep_ebpf::co_re::hidden::Path<Type = Self>>(
            at: ::skep_ebpf::co_re::hidden::Cursor<P>
        ) -> Self {
            <Self as ::skep_ebpf::co_re::Enumeration>::of(::skep_ebpf::co_re::hidden::number(at))
        }";
    let bits = "#[inline(always)] fn of(number: u64) -> Self {
            <Self as ::skep_ebpf::co_re::Enumeration>::of(number)
        }";
    let inner = Quote::new("#[allow(dead_code, non_snake_case)] impl")
        .ident(&name)
        .braces(methods)
        .code("unsafe impl ::skep_ebpf::co_re::hidden::KernelType for")
        .ident(&name)
        .braces(known)
        .code("unsafe impl ::skep_ebpf::co_re::Enumeration for")
        .ident(&name)
        .braces(of)
        .code("unsafe impl ::skep_ebpf::co_re::hidden::Whole for")
        .ident(&name)
        .code("{}")
        .code("impl ::skep_ebpf::co_re::Load for")
        .ident(&name)
        .braces(Quote::new(load))
        .code("impl ::skep_ebpf::co_re::FromBits for")
        .ident(&name)
        .braces(Quote::new(bits))
        .code("impl ::skep_ebpf::co_re::hidden::Named for")
        .ident(&name)
        .code("{}");
    Ok(
        Quote::new("#[repr(transparent)] #[allow(non_camel_case_types)]")
            .code("#[derive(Clone, Copy, PartialEq, Eq)]")
            .tokens(head)
            .code("struct")
            .ident(&name)
            .code(&format!("(pub {repr});"))
            .code("#[allow(unsafe_code, non_camel_case_types, clippy::all)] const _: () =")
            .braces(inner)
            .code(";")
            .into(),
    )
}

/// What `#[repr(…)]` says, and the other tokens before the name.
fn repr(head: Vec<TokenTree>) -> Result<(String, Vec<TokenTree>), Error> {
    let mut repr = REPR.to_owned();
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in head {
        if let TokenTree::Group(attribute) = &token
            && let [TokenTree::Ident(word), TokenTree::Group(of)] = attribute
                .stream()
                .into_iter()
                .collect::<Vec<_>>()
                .as_slice()
            && word.to_string() == "repr"
        {
            repr = of.stream().to_string();
            let known = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
            if !known.contains(&repr.as_str()) {
                return Err(Error::new(of.span(), "expected an integer, such as `u32`"));
            }
            // The `#` before it.
            kept.pop();
            continue;
        }
        kept.push(token);
    }
    Ok((repr, kept))
}
