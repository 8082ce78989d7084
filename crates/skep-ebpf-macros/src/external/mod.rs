//! `#[kfunc]`, `#[ksym]`, `#[kconfig]`: what the kernel provides by name. Each leaves a record of its
//! type in `.skep.extern`, since the compiler describes no types of what is elsewhere.

use proc_macro::{Ident, Span, TokenStream, TokenTree};

mod function;
mod variable;

pub(crate) use function::expand as functions;
pub(crate) use variable::{configuration, exists, symbol};

use crate::{
    kernel::{literal, name_of},
    place::is,
    quote::{Error, Quote},
};

/// Where the types are that declarations expand to.
const HIDDEN: &str = "::skep_ebpf::external::hidden::";

/// What is said of a declaration.
#[derive(Clone, Default)]
struct Options {
    weak: bool,
    /// The kernel's name, where it is another one.
    name: Option<String>,
}

impl Options {
    /// Reads what stands in the attribute's parentheses: `weak`, `name = "…"`.
    fn read(attribute: TokenStream) -> Result<Self, Error> {
        let mut options = Self::default();
        let tokens: Vec<TokenTree> = attribute.into_iter().collect();
        for part in tokens.split(|token| is(token, ',')) {
            options.add(part)?;
        }
        Ok(options)
    }

    fn add(&mut self, words: &[TokenTree]) -> Result<(), Error> {
        match words {
            [] => {}
            [TokenTree::Ident(word)] if word.to_string() == "weak" => self.weak = true,
            [TokenTree::Ident(word), equals, TokenTree::Literal(text)]
                if word.to_string() == "name" && is(equals, '=') =>
            {
                self.name = Some(name_of(text)?);
            }
            [first, ..] => {
                let says = "expected `weak` or `name = \"…\"`, the kernel's name";
                return Err(Error::new(first.span(), says));
            }
        }
        Ok(())
    }
}

/// The attributes and visibility that a declaration begins with: those that it keeps, and what
/// `#[weak]` and `#[name = "…"]` among them say.
struct Head<'a> {
    kept: Vec<TokenTree>,
    visibility: Vec<TokenTree>,
    options: Options,
    rest: &'a [TokenTree],
}

impl<'a> Head<'a> {
    fn read(tokens: &'a [TokenTree], mut options: Options) -> Result<Self, Error> {
        let mut kept = Vec::new();
        let mut rest = tokens;
        while let [hash, TokenTree::Group(attribute), tail @ ..] = rest
            && is(hash, '#')
        {
            let words: Vec<TokenTree> = attribute.stream().into_iter().collect();
            match words.first() {
                Some(TokenTree::Ident(word))
                    if ["weak", "name"].contains(&word.to_string().as_str()) =>
                {
                    options.add(&words)?;
                }
                _ => kept.extend([hash.clone(), TokenTree::Group(attribute.clone())]),
            }
            rest = tail;
        }
        let mut visibility = Vec::new();
        if let [TokenTree::Ident(word), tail @ ..] = rest
            && word.to_string() == "pub"
        {
            visibility.push(TokenTree::Ident(word.clone()));
            rest = tail;
            if let [TokenTree::Group(within), tail @ ..] = rest {
                visibility.push(TokenTree::Group(within.clone()));
                rest = tail;
            }
        }
        Ok(Self {
            kept,
            visibility,
            options,
            rest,
        })
    }
}

/// A record in the making: what kind of thing, whether it may be missing, its name.
struct Record(Quote);

impl Record {
    fn new(kind: &str, options: &Options, name: &str) -> Self {
        let weak = if options.weak { "weak" } else { "" };
        let record = Self(Quote::new(HIDDEN).code("Record::new()"));
        record.text(kind).text(weak).text(name)
    }

    fn text(self, text: &str) -> Self {
        let text = TokenStream::from(literal(text));
        Self(self.0.code(".text").parens(text))
    }

    /// A type of Rust that is one of the kernel's.
    fn of(self, of: TokenStream) -> Self {
        Self(self.0.code(".of::<").tokens(of).code(">()"))
    }

    /// The items that leave it in the object.
    fn left(self) -> Quote {
        Quote::new("const RECORD:")
            .code(HIDDEN)
            .code("Record =")
            .tokens(TokenStream::from(self.0))
            .code(
                "; #[cfg(target_arch = \"bpf\")]
                #[used]
                #[unsafe(link_section = \".skep.extern\")]
                static LEFT: [u8; RECORD.size()] = RECORD.bytes();",
            )
    }
}

/// The error for what is no declaration of this kind.
fn expected(token: Option<&TokenTree>, what: &str) -> Error {
    let span = token.map_or_else(Span::call_site, TokenTree::span);
    Error::new(span, format!("expected {what}"))
}

/// The kernel's name of what is called `name` here.
fn kernel_name(options: &Options, name: &Ident) -> String {
    let own = || crate::quote::plain(name);
    options.name.clone().unwrap_or_else(own)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(found) if found.to_string() == word)
}
