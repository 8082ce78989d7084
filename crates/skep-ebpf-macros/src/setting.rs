//! `#[setting]`: a variable that who loads the object may set, and programs only read; and
//! `#[global]`: one that both read and write at any time.

use proc_macro::{Ident, Span, TokenStream, TokenTree};

use crate::{map, quote::Error};

/// The static in `.rodata`, behind a constant of its name that reads it.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    expanded(attribute, item, |name, exported, kind, value| {
        format!(
            "const {name}: ::skep_ebpf::Setting<{kind}> = {{
                #[cfg_attr(
                    target_arch = \"bpf\",
                    unsafe(export_name = {exported:?}),
                    unsafe(link_section = \".rodata\")
                )]
                static SETTING: {kind} = {value}
                ::skep_ebpf::Setting::new(&SETTING)
            }};"
        )
    })
}

/// The static, behind a constant of its name that says where it lies.
pub(crate) fn global(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    expanded(attribute, item, |name, exported, kind, value| {
        format!(
            "const {name}: ::skep_ebpf::map::Value<'static, {kind}> = {{
                #[cfg_attr(target_arch = \"bpf\", unsafe(export_name = {exported:?}))]
                static mut GLOBAL: {kind} = {value}
                // SAFETY: nobody else can name it.
                unsafe {{ ::skep_ebpf::global::place(&raw mut GLOBAL) }}
            }};"
        )
    })
}

/// What `code` makes of a static's name, its name in the object, its type, and its value with the
/// semicolon behind it.
fn expanded(
    attribute: TokenStream,
    item: TokenStream,
    code: impl FnOnce(&Ident, &str, &TokenStream, &TokenStream) -> String,
) -> Result<TokenStream, Error> {
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
    let code = code(&name, &exported, &kind, &value);
    let code: TokenStream = code.parse().map_err(|_| wrong())?;
    before.extend(code);
    Ok(before)
}

fn wrong() -> Error {
    let says = "this is for a static with a type and a value: `static TARGET_PID: i32 = 0;`";
    Error::new(Span::call_site(), says)
}
