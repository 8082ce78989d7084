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
                Quote::new(HIDDEN).code("root").parens(value)
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

/// Whether a token is this character.
pub(crate) fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}
