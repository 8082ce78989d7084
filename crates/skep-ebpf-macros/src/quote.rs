//! Making tokens: text that is code, and tokens of the user's that keep their place for errors.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// Tokens in the making.
#[derive(Clone, Default)]
pub(crate) struct Quote(TokenStream);

impl Quote {
    /// Begins with code.
    pub(crate) fn new(code: &str) -> Self {
        Self::default().code(code)
    }

    /// Appends whole tokens given as text. Only literals of this crate come here.
    pub(crate) fn code(mut self, code: &str) -> Self {
        let tokens: TokenStream = code.parse().unwrap_or_default();
        self.0.extend(tokens);
        self
    }

    /// Appends tokens.
    pub(crate) fn tokens(mut self, tokens: impl IntoIterator<Item = TokenTree>) -> Self {
        self.0.extend(tokens);
        self
    }

    /// Appends a group.
    pub(crate) fn group(mut self, delimiter: Delimiter, tokens: impl Into<TokenStream>) -> Self {
        let group = Group::new(delimiter, tokens.into());
        self.0.extend([TokenTree::Group(group)]);
        self
    }

    /// Appends `(tokens)`.
    pub(crate) fn parens(self, tokens: impl Into<TokenStream>) -> Self {
        self.group(Delimiter::Parenthesis, tokens)
    }

    /// Appends `{ tokens }`.
    pub(crate) fn braces(self, tokens: impl Into<TokenStream>) -> Self {
        self.group(Delimiter::Brace, tokens)
    }

    /// Appends a name.
    pub(crate) fn ident(self, ident: &Ident) -> Self {
        self.tokens([TokenTree::Ident(ident.clone())])
    }
}

impl From<Quote> for TokenStream {
    fn from(quote: Quote) -> Self {
        quote.0
    }
}

/// An error at a place of the user's source.
pub(crate) struct Error {
    pub(crate) span: Span,
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
        }
    }

    /// The tokens that make rustc show it.
    pub(crate) fn tokens(self) -> TokenStream {
        let mut message = TokenTree::Literal(proc_macro::Literal::string(&self.message));
        message.set_span(self.span);
        let path = Quote::new("::core::compile_error!").parens(TokenStream::from(message));
        let tokens = TokenStream::from(path.code(";"));
        let at = |mut token: TokenTree| {
            token.set_span(self.span);
            token
        };
        tokens.into_iter().map(at).collect()
    }
}

/// A name without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

/// The name of a method for a field: any word will do but the few that can't be one.
pub(crate) fn method(name: &str, span: Span) -> Result<Ident, Error> {
    match name {
        "self" | "Self" | "super" | "crate" | "_" => {
            let message = format!(
                "`{name}` can't be a field's name in Rust: give it another, and \
                                   the kernel's by `#[name = \"{name}\"]`"
            );
            Err(Error::new(span, message))
        }
        _ => Ok(Ident::new_raw(name, span)),
    }
}
