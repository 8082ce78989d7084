//! `#[setting]`: a variable that who loads the object may set, and programs only read.

use proc_macro::{Span, TokenStream, TokenTree};

use crate::{map, quote::Error};

/// The static in `.rodata`, behind a constant of its name that reads it.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let mut tokens = item.into_iter();
    let mut before = TokenStream::new();
    let name = loop {
        match tokens.next() {
            Some(TokenTree::Ident(word)) if word.to_string() == "static" => match tokens.next() {
                Some(TokenTree::Ident(name)) if name.to_string() != "mut" => break name,
                _ => return Err(wrong()),
            },
            Some(token) => before.extend([token]),
            None => return Err(wrong()),
        }
    };
    match tokens.next() {
        Some(TokenTree::Punct(colon)) if colon.as_char() == ':' => {}
        _ => return Err(wrong()),
    }
    let is_equals = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == '=');
    let rest: Vec<TokenTree> = tokens.collect();
    let equals = rest.iter().position(is_equals).ok_or_else(wrong)?;
    let kind: TokenStream = rest.iter().take(equals).cloned().collect();
    let value: TokenStream = rest
        .iter()
        .skip(equals.saturating_add(1))
        .cloned()
        .collect();
    let exported = match map::name_option(attribute)? {
        Some(name) => name,
        None => crate::quote::plain(&name),
    };
    // The value ends with the static's semicolon.
    let code = format!(
        "const {name}: ::skep_ebpf::Setting<{kind}> = {{
            #[cfg_attr(
                target_arch = \"bpf\",
                unsafe(export_name = {exported:?}),
                unsafe(link_section = \".rodata\")
            )]
            static SETTING: {kind} = {value}
            ::skep_ebpf::Setting::new(&SETTING)
        }};"
    );
    let code: TokenStream = code.parse().map_err(|_| wrong())?;
    before.extend(code);
    Ok(before)
}

fn wrong() -> Error {
    let says = "a setting is a static with a type and a value: `static TARGET_PID: i32 = 0;`";
    Error::new(Span::call_site(), says)
}
