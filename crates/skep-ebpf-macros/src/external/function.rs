//! `#[kfunc]`: functions of the kernel, in an `extern` block.

use proc_macro::{Delimiter, Ident, TokenStream, TokenTree};

use super::{Head, Options, Record, expected, is_word, kernel_name};
use crate::{
    kernel::{literal, split},
    place::is,
    quote::{Error, Quote},
};

/// What stands there.
const SHAPE: &str = "`unsafe extern \"C\" { fn bpf_task_from_pid(pid: i32) -> *mut task_struct; }`";

/// The functions, which the kernel has, in BPF; elsewhere functions that panic.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let options = Options::read(attribute)?;
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let Some((TokenTree::Group(body), before)) = tokens.split_last() else {
        return Err(expected(tokens.last(), SHAPE));
    };
    let is_extern = before.iter().any(|token| is_word(token, "extern"));
    if !is_extern || body.delimiter() != Delimiter::Brace {
        return Err(expected(tokens.first(), SHAPE));
    }
    let body: Vec<TokenTree> = body.stream().into_iter().collect();
    let mut made = Quote::default();
    for tokens in body.split(|token| is(token, ';')) {
        if !tokens.is_empty() {
            let function = Function::read(tokens, options.clone())?;
            made = made.tokens(TokenStream::from(function.tokens()));
        }
    }
    Ok(made.into())
}

/// A declaration, read.
struct Function<'a> {
    head: Head<'a>,
    /// `fn`, with `safe` or `unsafe` before it.
    words: Vec<TokenTree>,
    name: Ident,
    /// Names and types.
    parameters: Vec<(Ident, TokenStream)>,
    /// None if it gives nothing, or never returns.
    returns: Option<TokenStream>,
    /// As it stands there, with its arrow.
    arrow: Vec<TokenTree>,
}

impl<'a> Function<'a> {
    fn read(tokens: &'a [TokenTree], options: Options) -> Result<Self, Error> {
        let head = Head::read(tokens, options)?;
        let fn_at = head.rest.iter().position(|token| is_word(token, "fn"));
        let (words, rest) = match fn_at {
            Some(at) => head.rest.split_at(at.saturating_add(1)),
            None => return Err(expected(head.rest.first(), SHAPE)),
        };
        let [TokenTree::Ident(name), TokenTree::Group(inside), arrow @ ..] = rest else {
            return Err(expected(rest.get(1), "a function's parameters"));
        };
        let mut parameters = Vec::new();
        for (index, parameter) in split(inside.stream()).into_iter().enumerate() {
            let [TokenTree::Ident(name), colon, of @ ..] = parameter.as_slice() else {
                return Err(expected(
                    parameter.first(),
                    "a parameter, such as `pid: i32`",
                ));
            };
            if !is(colon, ':') || of.is_empty() {
                return Err(expected(Some(colon), "`:` and the parameter's type"));
            }
            // The kernel wants a name of each.
            let name = match name.to_string().as_str() {
                "_" => Ident::new(&format!("arg{}", index.saturating_add(1)), name.span()),
                _ => name.clone(),
            };
            parameters.push((name, of.iter().cloned().collect()));
        }
        let returns = match arrow {
            [] => None,
            [dash, angle, of @ ..] if is(dash, '-') && is(angle, '>') => match of {
                [never] if is(never, '!') => None,
                of => Some(of.iter().cloned().collect()),
            },
            other => return Err(expected(other.first(), "`->` and a type, or `;`")),
        };
        Ok(Self {
            words: words.to_vec(),
            name: name.clone(),
            parameters,
            returns,
            arrow: arrow.to_vec(),
            head,
        })
    }

    fn tokens(self) -> Quote {
        let kernel = kernel_name(&self.head.options, &self.name);
        let unit = || TokenStream::from(Quote::new("()"));
        let mut record = Record::new("kfunc", &self.head.options, &kernel)
            .of(self.returns.clone().unwrap_or_else(unit));
        let (mut parameters, mut names) = (Quote::default(), Quote::default());
        for (name, of) in &self.parameters {
            record = record.text(&crate::quote::plain(name)).of(of.clone());
            parameters = parameters
                .ident(name)
                .code(":")
                .tokens(of.clone())
                .code(",");
            names = names.ident(name).code(",");
        }
        let parameters = TokenStream::from(parameters);
        // Where there is no kernel, `safe` is what is not said.
        let is_safe = self.words.iter().any(|word| is_word(word, "safe"));
        let here = if is_safe { "fn" } else { "unsafe fn" };
        let link_name = Quote::new("link_name =").tokens([literal(&kernel)]);
        let declared = Quote::default()
            .tokens(self.head.kept.clone())
            .code("#")
            .group(Delimiter::Bracket, link_name)
            .tokens(self.head.visibility.clone())
            .tokens(self.words)
            .ident(&self.name)
            .parens(parameters.clone())
            .tokens(self.arrow.clone())
            .code(";");
        let panics = Quote::new("let _ =")
            .parens(names)
            .code(";")
            .code(super::HIDDEN)
            .code("not_here")
            .parens(TokenStream::from(literal(&kernel)));
        Quote::new(
            "#[cfg(target_arch = \"bpf\")] #[allow(improper_ctypes, dead_code)] unsafe extern \"C\"",
        )
        .braces(declared)
        .code("#[cfg(not(target_arch = \"bpf\"))] #[allow(dead_code, clippy::all)]")
        .tokens(self.head.kept)
        .tokens(self.head.visibility)
        .code(here)
        .ident(&self.name)
        .parens(parameters)
        .tokens(self.arrow)
        .braces(panics)
        .code("const _: () =")
        .braces(record.left())
        .code(";")
    }
}
