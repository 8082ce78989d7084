//! The macros that take the name of a type, or of an enumerator.

use proc_macro::{Span, TokenStream, TokenTree};

use crate::{
    place::HIDDEN,
    quote::{Error, Quote, plain},
};

/// `function::<Type>()`.
pub(crate) fn of_type(input: TokenStream, function: &str) -> Result<TokenStream, Error> {
    if input.is_empty() {
        return Err(Error::new(Span::call_site(), "expected a type"));
    }
    Ok(Quote::new(HIDDEN)
        .code(function)
        .code("::<")
        .tokens(input)
        .code(">()")
        .into())
}

/// `function(Type::Enumerator())`.
pub(crate) fn enumerator(input: TokenStream, function: &str) -> Result<TokenStream, Error> {
    let tokens: Vec<TokenTree> = input.into_iter().collect();
    match tokens.as_slice() {
        [.., TokenTree::Punct(_), TokenTree::Ident(_)] => {
            let call = Quote::default().tokens(tokens).code("()");
            Ok(Quote::new(HIDDEN).code(function).parens(call).into())
        }
        other => {
            let span = other.first().map_or_else(Span::call_site, TokenTree::span);
            let message = "expected an enumerator, such as `tcp_state::TCP_SYN_SENT`";
            Err(Error::new(span, message))
        }
    }
}

/// The id of a type of the program's own, which is known by its name.
pub(crate) fn local(input: TokenStream) -> Result<TokenStream, Error> {
    let tokens: Vec<TokenTree> = input.into_iter().collect();
    let Some(TokenTree::Ident(name)) = tokens.last() else {
        let span = tokens.first().map_or_else(Span::call_site, TokenTree::span);
        return Err(Error::new(
            span,
            "expected the name of a structure of the program's",
        ));
    };
    let text = format!("\"l{};\"", plain(name));
    let body = Quote::new("struct Local; unsafe impl")
        .code(HIDDEN)
        .code("KernelType for Local")
        .braces(
            Quote::new("const TEXT:")
                .code(HIDDEN)
                .code("Text =")
                .code(HIDDEN)
                .code("Text::new().str")
                .parens(Quote::new(&text))
                .code(";"),
        )
        // Names the type, so that a wrong one is an error here.
        .code("let _: ::core::marker::PhantomData<")
        .tokens(tokens)
        .code("> = ::core::marker::PhantomData;")
        .code(HIDDEN)
        .code("type_id_local::<Local>()");
    Ok(Quote::default().braces(body).into())
}
