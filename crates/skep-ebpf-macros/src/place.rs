//! The macros that take a place in kernel memory: `task.real_parent.tgid`.
//!
//! A place begins with an expression up to its last call or `?`, or with one name; fields and
//! elements follow. What begins otherwise stands in parentheses: `(self.task).pid`. Where no value
//! is needed, a type can stand instead, with a comma: `task_struct, se.vruntime`.

use proc_macro::{Delimiter, Ident, Span, TokenStream, TokenTree};

use crate::quote::{Error, Quote, method};

/// Where the functions are that macros expand to.
pub(crate) const HIDDEN: &str = "::skep_ebpf::co_re::hidden::";

/// What a place begins with.
pub(crate) enum Start {
    Value(TokenStream),
    Type(TokenStream),
}

/// What follows.
pub(crate) enum Step {
    Field(Ident),
    Element(TokenStream),
}

/// A place.
pub(crate) struct Place {
    pub(crate) start: Start,
    pub(crate) steps: Vec<Step>,
}

/// Reads a place; types are allowed where `with_type`.
pub(crate) fn parse(input: TokenStream, with_type: bool) -> Result<Place, Error> {
    let tokens: Vec<TokenTree> = input.into_iter().collect();
    let comma = tokens.iter().position(|token| is(token, ','));
    let (start, rest) = match comma {
        Some(comma) if with_type => {
            let start = tokens.iter().take(comma).cloned().collect();
            (
                Start::Type(start),
                tokens.get(comma + 1..).unwrap_or_default(),
            )
        }
        Some(comma) => {
            let span = tokens
                .get(comma)
                .map_or_else(Span::call_site, TokenTree::span);
            return Err(Error::new(
                span,
                "expected a place, such as `task.real_parent.tgid`",
            ));
        }
        None => {
            let (start, rest) = tokens.split_at(start_len(&tokens)?);
            (Start::Value(start.iter().cloned().collect()), rest)
        }
    };
    let steps = steps(rest, matches!(start, Start::Type(_)))?;
    Ok(Place { start, steps })
}

/// Tokens of the expression that a place begins with.
fn start_len(tokens: &[TokenTree]) -> Result<usize, Error> {
    let call = tokens.iter().rposition(|token| match token {
        TokenTree::Group(group) => group.delimiter() != Delimiter::Bracket,
        token => is(token, '?'),
    });
    if let Some(last) = call {
        return Ok(last + 1);
    }
    // A name, or a path of names.
    let end = tokens.iter().position(|token| match token {
        TokenTree::Group(_) => true,
        token => is(token, '.'),
    });
    match end.unwrap_or(tokens.len()) {
        0 => {
            let message = "expected a place, such as `task.real_parent.tgid`";
            let span = tokens.first().map_or_else(Span::call_site, TokenTree::span);
            Err(Error::new(span, message))
        }
        len => Ok(len),
    }
}

/// Fields and elements; the first field of a type's has no dot.
fn steps(tokens: &[TokenTree], of_type: bool) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut dot = of_type;
    for token in tokens {
        match token {
            TokenTree::Punct(_) if is(token, '.') && !dot => {
                dot = true;
                continue;
            }
            TokenTree::Ident(ident) if dot => steps.push(Step::Field(ident.clone())),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket && !dot => {
                steps.push(Step::Element(group.stream()));
            }
            other => {
                let message = "expected `.field` or `[element]`; an expression that a place begins \
                               with stands in parentheses: `(self.task).pid`";
                return Err(Error::new(other.span(), message));
            }
        }
        dot = false;
    }
    Ok(steps)
}

impl Place {
    /// The cursor's expression; `enter` is the function that goes into fields.
    pub(crate) fn cursor(self, enter: &str) -> Result<Quote, Error> {
        let mut quote = match self.start {
            Start::Value(value) => {
                let value = Quote::new("&").parens(value);
                let root = if enter == "follow" { "root" } else { "type_of" };
                Quote::new(HIDDEN).code(root).parens(value)
            }
            Start::Type(named) => Quote::new(HIDDEN)
                .code("type_root::<")
                .tokens(named)
                .code(">()"),
        };
        for step in self.steps {
            quote = match step {
                Step::Field(ident) => {
                    let name = method(&crate::quote::plain(&ident), ident.span())?;
                    Quote::new(HIDDEN)
                        .code(enter)
                        .parens(quote)
                        .code(".")
                        .ident(&name)
                        .code("()")
                }
                Step::Element(index) => Quote::new(HIDDEN)
                    .code("element::<")
                    .braces(index)
                    .code(", _>")
                    .parens(quote),
            };
        }
        Ok(quote)
    }
}

/// `function(cursor)`.
pub(crate) fn call(
    input: TokenStream,
    with_type: bool,
    enter: &str,
    function: &str,
) -> Result<TokenStream, Error> {
    let place = parse(input, with_type)?;
    if place.steps.is_empty() {
        let message = "expected a field behind it: `task.pid`";
        return Err(Error::new(Span::call_site(), message));
    }
    let cursor = place.cursor(enter)?;
    Ok(Quote::new(HIDDEN).code(function).parens(cursor).into())
}

/// The read of a place by a helper, from `memory`; `function` takes what follows the place, too.
pub(crate) fn read(input: TokenStream, memory: &str, function: &str) -> Result<TokenStream, Error> {
    let mut tokens: Vec<TokenTree> = input.into_iter().collect();
    let comma = tokens.iter().position(|token| is(token, ','));
    let rest = comma
        .map(|comma| tokens.split_off(comma))
        .unwrap_or_default();
    let place = parse(tokens.into_iter().collect(), false)?;
    let Start::Value(value) = place.start else {
        return Err(Error::new(Span::call_site(), "expected a place"));
    };
    if place.steps.is_empty() {
        let message = "expected a field behind it: `task.pid`";
        return Err(Error::new(Span::call_site(), message));
    }
    let root = Quote::new(HIDDEN)
        .code("root")
        .parens(Quote::new("&").parens(value));
    let mut quote = Quote::new("Ok").parens(root);
    for step in place.steps {
        quote = match step {
            Step::Field(ident) => {
                let name = method(&crate::quote::plain(&ident), ident.span())?;
                let closure = Quote::new("#[inline(always)] |__fields| __fields.")
                    .ident(&name)
                    .code("()");
                Quote::new(HIDDEN)
                    .code(&format!("enter::<{HIDDEN}{memory}, _>"))
                    .parens(quote)
                    .code(".map")
                    .parens(closure)
            }
            Step::Element(index) => {
                let closure = Quote::new("#[inline(always)] |__at|")
                    .code(HIDDEN)
                    .code("element::<")
                    .braces(index)
                    .code(", _>(__at)");
                quote.code(".map").parens(closure)
            }
        };
    }
    let quote = quote.tokens(rest);
    Ok(Quote::new(HIDDEN)
        .code(function)
        .code(&format!("::<{HIDDEN}{memory}, _>"))
        .parens(quote)
        .into())
}

/// Whether a token is this character.
pub(crate) fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}
