//! The attributes that make a function a program: `#[xdp]`, `#[kprobe("…")]` and the others.
//!
//! The function stays as it is, inside of one that the kernel calls: with the C calling
//! convention, in the hook's section, under the function's name, which is also the name in BTF.

mod section;
mod syntax;
mod table;
mod template;

use crate::quote::Error;
use proc_macro::{Span, TokenStream, TokenTree};
use syntax::{Function, Parameter};
use table::{HOOKS, Hook, Parameters, Returns};
use template::{block, fill};

/// The function as a program, or what is wrong with it.
pub(crate) fn expand(name: &str, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let wrong = || Error::new(Span::call_site(), format!("`{name}` is no hook"));
    let hook = HOOKS.iter().find(|hook| hook.name == name);
    hook.ok_or_else(wrong)
        .and_then(|hook| program(hook, attribute, item))
        .unwrap_or_else(Error::tokens)
}

fn program(hook: &Hook, attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let section = section::name(hook, attribute)?;
    let function = Function::parse(hook.name, item)?;
    let (parameters, call) = match hook.parameters {
        Parameters::Replaced => replaced(&function)?,
        Parameters::Context | Parameters::Arguments => with_context(hook, &function)?,
    };
    let mut body = match inlined(&function.attributes) {
        true => TokenStream::new(),
        false => fill("#[inline(always)]", &[]),
    };
    body.extend([function.attributes.clone(), function.item.clone(), call]);
    let name = TokenTree::Ident(function.name.clone()).into();
    // Elsewhere it is a function like others: `open` would take the place of the C library's.
    Ok(fill(
        &format!(
            "#[cfg_attr(target_arch = \"bpf\", unsafe(no_mangle), unsafe(link_section = \"{section}\"))]
             #[cfg_attr(not(target_arch = \"bpf\"), allow(dead_code))]
             $0 extern \"C\" fn $1($2) -> i32 $3"
        ),
        &[&function.visibility, &name, &parameters, &block(body)],
    ))
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

/// The parameters and the call of a program of a hook that hands a pointer to a context over.
fn with_context(hook: &Hook, function: &Function) -> Result<(TokenStream, TokenStream), Error> {
    let with_arguments = hook.parameters == Parameters::Arguments;
    let (context, arguments) = match function.parameters.split_first() {
        Some((first, rest)) if !with_arguments || is_context(hook, first) => (Some(first), rest),
        _ => (None, &function.parameters[..]),
    };
    if let (Some(extra), false) = (arguments.first(), with_arguments) {
        let says = format!(
            "a program of `#[{}]` has one parameter: `context: &{}`",
            hook.name, hook.context
        );
        return Err(Error::new(extra.span, says));
    }
    let path = fill(&format!("::skep_ebpf::context::{}", hook.context), &[]);
    let r#type = match context {
        Some(parameter) => referred(hook, parameter)?,
        None => path.clone(),
    };
    let mut body = fill(
        "let __entered = ::skep_ebpf::hook::enter::<$0, $1>(__context);",
        &[&path, &r#type],
    );
    let mut values = match context {
        Some(_) => fill("__entered.context(),", &[]),
        None => TokenStream::new(),
    };
    for (index, argument) in arguments.iter().enumerate() {
        let value = format!("__entered.argument::<$0>({index}),");
        values.extend(fill(&value, &[&argument.r#type]));
    }
    body.extend(result(hook, function, values)?);
    let parameters = fill(
        "__context: *mut <$0 as ::skep_ebpf::context::Context>::Raw",
        &[&path],
    );
    Ok((parameters, body))
}

/// Whether a parameter is the context, where arguments may come without it.
fn is_context(hook: &Hook, parameter: &Parameter) -> bool {
    let name = parameter.type_name();
    name.is_some_and(|name| name == hook.context || name.ends_with("Context"))
}

fn referred(hook: &Hook, parameter: &Parameter) -> Result<TokenStream, Error> {
    parameter.referred().ok_or_else(|| {
        let says = format!("the context comes by reference: `&{}`", hook.context);
        Error::new(
            parameter
                .r#type
                .clone()
                .into_iter()
                .next()
                .map_or(parameter.span, |token| token.span()),
            says,
        )
    })
}

/// The function's call, and what becomes of its result.
fn result(hook: &Hook, function: &Function, values: TokenStream) -> Result<TokenStream, Error> {
    let name = TokenTree::Ident(function.name.clone()).into();
    let nothing = fill("()", &[]);
    let r#type = match (&function.returns, hook.returns) {
        (Some(r#type), _) => r#type,
        (None, Returns::Watch) => &nothing,
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
        Returns::Number => "<$0 as ::skep_ebpf::hook::Number>::code($1($2))".to_owned(),
    };
    Ok(fill(&code, &[r#type, &name, &values]))
}

/// The parameters and the call of a function in the place of another program's: numbers as they
/// are, contexts by pointer.
fn replaced(function: &Function) -> Result<(TokenStream, TokenStream), Error> {
    let (mut parameters, mut body, mut values) =
        (TokenStream::new(), TokenStream::new(), TokenStream::new());
    for (index, parameter) in function.parameters.iter().enumerate() {
        match parameter.referred() {
            Some(context) => {
                let declared =
                    format!("__parameter{index}: *mut <$0 as ::skep_ebpf::context::Context>::Raw,");
                parameters.extend(fill(&declared, &[&context]));
                let entered = format!(
                    "let __entered{index} = ::skep_ebpf::hook::enter::<$0, $0>(__parameter{index});"
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
    let hook = HOOKS
        .iter()
        .find(|hook| hook.parameters == Parameters::Replaced);
    if let Some(hook) = hook {
        body.extend(result(hook, function, values)?);
    }
    Ok((parameters, body))
}
