//! The little of Rust's syntax that attributes need: a function's head, and errors at tokens.

use std::iter::Peekable;

use crate::quote::Error;
use proc_macro::{Delimiter, Group, Ident, Spacing, Span, TokenStream, TokenTree};

/// A function, taken apart as far as a hook needs it.
pub(super) struct Function {
    /// Attributes, documentation among them.
    pub(super) attributes: TokenStream,
    /// `pub`, or nothing.
    pub(super) visibility: TokenStream,
    pub(super) name: Ident,
    pub(super) parameters: Vec<Parameter>,
    /// The type behind `->`.
    pub(super) returns: Option<TokenStream>,
    /// From `fn` to the end of the body, as written.
    pub(super) item: TokenStream,
}

/// One parameter.
pub(super) struct Parameter {
    /// Its name, if it is no other pattern.
    pub(super) name: Option<Ident>,
    pub(super) r#type: TokenStream,
    pub(super) span: Span,
}

impl Parameter {
    /// The type behind `&` or `&mut` and a lifetime.
    pub(super) fn referred(&self) -> Option<TokenStream> {
        let mut tokens = self.r#type.clone().into_iter().peekable();
        tokens.next_if(|token| is_punct(token, '&'))?;
        if tokens.next_if(|token| is_punct(token, '\'')).is_some() {
            tokens.next();
        }
        tokens.next_if(|token| is_ident(token, "mut"));
        Some(tokens.collect())
    }

    /// Whether it is `&mut`.
    pub(super) fn is_mutable(&self) -> bool {
        let mut words = self.r#type.clone().into_iter();
        words.any(|token| is_ident(&token, "mut"))
    }

    /// The last name of the type's path, without its generic arguments: `XdpContext` of
    /// `&mut context::XdpContext`, `TracepointContext` of `&TracepointContext<T>`.
    pub(super) fn type_name(&self) -> Option<String> {
        let mut last = None;
        for token in self.r#type.clone() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '<' => break,
                TokenTree::Ident(ident) => last = Some(ident.to_string()),
                _ => {}
            }
        }
        last
    }
}

pub(super) fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

pub(super) fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == name)
}

type Tokens = Peekable<proc_macro::token_stream::IntoIter>;

impl Function {
    /// Reads the item under an attribute `#[hook]`.
    pub(super) fn parse(hook: &str, item: TokenStream) -> Result<Self, Error> {
        let mut tokens = item.into_iter().peekable();
        let mut attributes = Vec::new();
        while let Some(pound) = tokens.next_if(|token| is_punct(token, '#')) {
            attributes.push(pound);
            attributes.extend(tokens.next());
        }
        let visibility = visibility(&mut tokens);
        let keyword = match tokens.next() {
            Some(token) if is_ident(&token, "fn") => token,
            Some(token) => return Err(before_fn(hook, &token)),
            None => {
                return Err(Error::new(
                    Span::call_site(),
                    format!("`#[{hook}]` goes before a function: `fn name(…) {{ … }}`"),
                ));
            }
        };
        let mut rest: Vec<TokenTree> = vec![keyword];
        let Some(TokenTree::Ident(name)) = tokens.next() else {
            return Err(Error::new(Span::call_site(), "a function needs a name"));
        };
        rest.push(name.clone().into());
        let parameters = match tokens.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                rest.push(group.clone().into());
                parameters(&group)?
            }
            Some(other) => {
                return Err(Error::new(
                    other.span(),
                    "a program has no generic parameters: the kernel calls it with one context; \
                     name the types",
                ));
            }
            None => return Err(Error::new(name.span(), "a function needs parameters: `()`")),
        };
        let returns = returns(&mut tokens, &mut rest)?;
        rest.extend(tokens);
        Ok(Self {
            attributes: attributes.into_iter().collect(),
            visibility,
            name,
            parameters,
            returns,
            item: rest.into_iter().collect(),
        })
    }
}

fn visibility(tokens: &mut Tokens) -> TokenStream {
    let mut visibility = Vec::new();
    if let Some(public) = tokens.next_if(|token| is_ident(token, "pub")) {
        visibility.push(public);
        let scope = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
        visibility.extend(tokens.next_if(scope));
    }
    visibility.into_iter().collect()
}

/// What is said of a word before `fn`, or of what is no function.
fn before_fn(hook: &str, token: &TokenTree) -> Error {
    let says = match token.to_string().as_str() {
        "async" => "a program cannot be `async`: it runs to its end when the hook fires".into(),
        "unsafe" => {
            "a program is a safe function: write `unsafe` around what needs it, inside".into()
        }
        "extern" => {
            format!("`#[{hook}]` makes the function that the kernel calls: leave `extern` away")
        }
        "const" => "a program cannot be `const`".into(),
        other => format!("`#[{hook}]` goes before a function, not before `{other}`"),
    };
    Error::new(token.span(), says)
}

/// Splits what stands between parentheses at its commas.
fn parameters(group: &Group) -> Result<Vec<Parameter>, Error> {
    split(group.stream())
        .into_iter()
        .map(|tokens| parameter(tokens, group.span()))
        .collect()
}

/// Splits at commas that are not inside `<…>`.
fn split(stream: TokenStream) -> Vec<Vec<TokenTree>> {
    let (mut parts, mut part, mut depth, mut arrow) = (Vec::new(), Vec::new(), 0_usize, false);
    for token in stream {
        if is_punct(&token, '<') {
            depth += 1;
        } else if is_punct(&token, '>') && !arrow {
            depth = depth.saturating_sub(1);
        }
        arrow = is_punct(&token, '-');
        if depth == 0 && is_punct(&token, ',') {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(token);
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

fn parameter(tokens: Vec<TokenTree>, around: Span) -> Result<Parameter, Error> {
    let span = tokens.first().map_or(around, TokenTree::span);
    if tokens.last().is_some_and(|last| is_ident(last, "self")) {
        return Err(Error::new(span, "a program is a function, not a method"));
    }
    let mut tokens = tokens.into_iter();
    let mut pattern = Vec::new();
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Punct(colon) if colon.as_char() == ':' => {
                if colon.spacing() == Spacing::Alone {
                    let r#type = tokens.collect();
                    let name = name(&pattern);
                    return Ok(Parameter { name, r#type, span });
                }
                // The rest of `::`, of a path in a pattern.
                tokens.next();
            }
            _ => pattern.push(token),
        }
    }
    Err(Error::new(span, "a parameter needs a type: `name: Type`"))
}

/// The name that a pattern is.
fn name(pattern: &[TokenTree]) -> Option<Ident> {
    match pattern {
        [TokenTree::Ident(name)] if name.to_string() != "_" => Some(name.clone()),
        [TokenTree::Ident(word), TokenTree::Ident(name)] if word.to_string() == "mut" => {
            Some(name.clone())
        }
        _ => None,
    }
}

/// The type behind `->`, up to the body.
fn returns(tokens: &mut Tokens, rest: &mut Vec<TokenTree>) -> Result<Option<TokenStream>, Error> {
    let Some(dash) = tokens.next_if(|token| is_punct(token, '-')) else {
        return Ok(None);
    };
    rest.push(dash);
    rest.extend(tokens.next());
    let mut returned = Vec::new();
    let body = |token: &TokenTree| {
        is_ident(token, "where")
            || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    while let Some(token) = tokens.next_if(|token| !body(token)) {
        if is_ident(&token, "impl") {
            return Err(Error::new(
                token.span(),
                "a program's result is a number: name its type",
            ));
        }
        if is_punct(&token, '!') {
            return Err(Error::new(token.span(), "a program must come to an end"));
        }
        returned.push(token.clone());
        rest.push(token);
    }
    Ok(Some(returned.into_iter().collect()))
}
