//! The attributes that make a function a program: `#[xdp]`, `#[kprobe("…")]` and the others.
//!
//! The function stays as it is, inside of one that the kernel calls: with the C calling
//! convention, in the hook's section, under the function's name, which is also the name in BTF.

mod operations;
mod parameters;
mod section;
mod syntax;
mod table;
mod template;

use crate::quote::{Error, plain};
use crate::show;
use proc_macro::{Span, TokenStream, TokenTree};
use syntax::Function;
use table::{HOOKS, Hook, Parameters, Returns};
use template::{block, fill};

/// The function as a program, or what is wrong with it.
pub(crate) fn expand(name: &str, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let wrong = || Error::new(Span::call_site(), format!("`{name}` is no hook"));
    if name == "struct_ops" && operations::is_static(&item) {
        return operations::expand(attribute, item).unwrap_or_else(Error::tokens);
    }
    let hook = HOOKS.iter().find(|hook| hook.name == name);
    hook.ok_or_else(wrong)
        .and_then(|hook| program(hook, attribute, item))
        .unwrap_or_else(Error::tokens)
}

fn program(hook: &Hook, attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let place = section::place(hook, attribute)?;
    let section = &place.section;
    let function = Function::parse(hook.name, item)?;
    let (parameters, call) = match hook.parameters {
        Parameters::Replaced => replaced(hook, &function)?,
        _ => {
            let body = parameters::body(hook, &place, &function)?;
            let call = result(hook, &function, body.values)?;
            (
                body.parameters,
                [body.statements, call].into_iter().collect(),
            )
        }
    };
    let mut body = match inlined(&function.attributes) {
        true => TokenStream::new(),
        false => fill("#[inline(always)]", &[]),
    };
    body.extend([function.attributes.clone(), function.item.clone(), call]);
    let name = TokenTree::Ident(function.name.clone()).into();
    let stands_in = stands_in(&place, &function);
    // Elsewhere it is a function like others: `open` would take the place of the C library's.
    Ok(fill(
        &format!(
            "#[cfg_attr(target_arch = \"bpf\", unsafe(no_mangle), unsafe(link_section = \"{section}\"))]
             #[cfg_attr(not(target_arch = \"bpf\"), allow(dead_code))]
             $0 extern \"C\" fn $1($2) -> i32 $3
             $4"
        ),
        &[
            &function.visibility,
            &name,
            &parameters,
            &block(body),
            &stands_in,
        ],
    ))
}

/// A record of which program this one stands in for.
fn stands_in(place: &section::Place, function: &Function) -> TokenStream {
    let Some(other) = &place.instead_of else {
        return TokenStream::new();
    };
    let tag = format!("\"skep:instead_of={other}\"");
    fill(&show::record(&plain(&function.name), "", &tag), &[])
}

/// Whether the user said how to inline.
fn inlined(attributes: &TokenStream) -> bool {
    attributes.clone().into_iter().any(|token| match token {
        TokenTree::Group(group) => {
            matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name.to_string() == "inline")
        }
        _ => false,
    })
}

/// The function's call, and what becomes of its result.
fn result(hook: &Hook, function: &Function, values: TokenStream) -> Result<TokenStream, Error> {
    let name = TokenTree::Ident(function.name.clone()).into();
    let nothing = fill("()", &[]);
    let r#type = match (&function.returns, hook.returns) {
        (Some(r#type), _) => r#type,
        (None, Returns::Watch | Returns::Answer) => &nothing,
        (None, Returns::Permit) => {
            let says = format!(
                "a program of `#[{}]` says whether the operation goes on: `-> Result<()>`",
                hook.name
            );
            return Err(Error::new(function.name.span(), says));
        }
        (None, Returns::Verdict(verdict)) => {
            let says = format!(
                "a program of `#[{}]` decides: `-> {verdict}`, or `-> Result<{verdict}>`",
                hook.name
            );
            return Err(Error::new(function.name.span(), says));
        }
        (None, Returns::Number) => {
            let says = "a function of a program returns a number: `-> i32`";
            return Err(Error::new(function.name.span(), says));
        }
    };
    let code = match hook.returns {
        Returns::Watch => "<$0 as ::skep_ebpf::hook::Watched>::code($1($2))".to_owned(),
        Returns::Permit => "<$0 as ::skep_ebpf::hook::Permitted>::code($1($2))".to_owned(),
        Returns::Verdict(verdict) => {
            format!(
                "<$0 as ::skep_ebpf::hook::Decided<::skep_ebpf::hook::{verdict}>>::code($1($2))"
            )
        }
        Returns::Answer => "<$0 as ::skep_ebpf::hook::Answered>::code($1($2))".to_owned(),
        Returns::Number => "<$0 as ::skep_ebpf::hook::Number>::code($1($2))".to_owned(),
    };
    Ok(fill(&code, &[r#type, &name, &values]))
}

/// The parameters and the call of a function in the place of another program's: numbers as they
/// are, contexts by pointer.
fn replaced(hook: &Hook, function: &Function) -> Result<(TokenStream, TokenStream), Error> {
    let (mut parameters, mut body, mut values) =
        (TokenStream::new(), TokenStream::new(), TokenStream::new());
    for (index, parameter) in function.parameters.iter().enumerate() {
        match parameter.referred() {
            Some(context) => {
                let declared =
                    format!("__parameter{index}: *mut <$0 as ::skep_ebpf::context::Context>::Raw,");
                parameters.extend(fill(&declared, &[&context]));
                let entered = format!(
                    "let __entered{index} = ::skep_ebpf::hook::enter_any::<$0>(__parameter{index});"
                );
                body.extend(fill(&entered, &[&context]));
                values.extend(fill(&format!("__entered{index}.context(),"), &[]));
            }
            None => {
                parameters.extend(fill(
                    &format!("__parameter{index}: $0,"),
                    &[&parameter.r#type],
                ));
                values.extend(fill(&format!("__parameter{index},"), &[]));
            }
        }
    }
    body.extend(result(hook, function, values)?);
    Ok((parameters, body))
}
