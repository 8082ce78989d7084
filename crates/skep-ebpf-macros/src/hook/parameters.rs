//! What a program's parameters are made of: the context, and behind it arguments by position or
//! fields by name.

use crate::quote::{Error, plain};
use proc_macro::{Delimiter, Ident, TokenStream, TokenTree};

use super::section::Place;
use super::syntax::{Function, Parameter};
use super::table::{Hook, Parameters, Returns};
use super::template::fill;

/// What the kernel calls does before it calls the program, and with what.
pub(super) struct Body {
    /// The parameters of what the kernel calls.
    pub(super) parameters: TokenStream,
    pub(super) statements: TokenStream,
    /// The program's, each with a comma behind it.
    pub(super) values: TokenStream,
}

/// The body of a program of a hook that hands a pointer to a context over.
pub(super) fn body(hook: &Hook, place: &Place, function: &Function) -> Result<Body, Error> {
    let (context, rest) = match function.parameters.split_first() {
        Some((first, rest))
            if hook.parameters == Parameters::Context || is_context(hook, first) =>
        {
            (Some(first), rest)
        }
        _ => (None, &function.parameters[..]),
    };
    if let Some(extra) = rest.get(hook.parameters.most()) {
        return Err(Error::new(extra.span, too_many(hook)));
    }
    let path = fill(&format!("::skep_ebpf::context::{}", hook.context), &[]);
    let r#type = match context {
        Some(parameter) => referred(hook, parameter)?,
        None => path.clone(),
    };
    let mut body = Body {
        parameters: fill(
            "__context: *mut <$0 as ::skep_ebpf::context::Context>::Raw",
            &[&path],
        ),
        statements: fill(
            "let __entered = ::skep_ebpf::hook::enter::<$0, $1>(__context);",
            &[&path, &r#type],
        ),
        values: match context {
            Some(_) => fill("__entered.context(),", &[]),
            None => TokenStream::new(),
        },
    };
    match (hook.parameters, Syscall::of(place)) {
        (Parameters::Fields, None) => fields(&mut body, place, rest)?,
        (Parameters::Fields, Some(syscall)) => syscall.arguments(&mut body, rest)?,
        _ => arguments(&mut body, hook, rest)?,
    }
    Ok(body)
}

/// Whether a parameter is the context, where arguments may come without it.
fn is_context(hook: &Hook, parameter: &Parameter) -> bool {
    let name = parameter.type_name();
    name.is_some_and(|name| name == hook.context || name.ends_with("Context"))
}

fn too_many(hook: &Hook) -> String {
    let (name, context) = (hook.name, hook.context);
    match hook.parameters {
        Parameters::Context => {
            format!("a program of `#[{name}]` has one parameter: `context: &{context}`")
        }
        Parameters::Returned => format!(
            "a program of `#[{name}]` is told what the function returned, in one parameter, and no \
             argument of it"
        ),
        Parameters::Registers => format!(
            "`#[{name}]` hands over six arguments at most: those in registers on every machine"
        ),
        _ => format!(
            "`#[{name}]` hands over {} arguments at most",
            hook.parameters.most()
        ),
    }
}

/// The type of the context.
fn referred(hook: &Hook, parameter: &Parameter) -> Result<TokenStream, Error> {
    parameter.referred().ok_or_else(|| {
        let at = parameter.r#type.clone().into_iter().next();
        let at = at.map_or(parameter.span, |token| token.span());
        let says = format!("the context comes by reference: `&{}`", hook.context);
        Error::new(at, says)
    })
}

/// Arguments by position.
fn arguments(body: &mut Body, hook: &Hook, parameters: &[Parameter]) -> Result<(), Error> {
    for (index, parameter) in parameters.iter().enumerate() {
        let value = match parameter.referred() {
            None => format!("let __argument{index} = __entered.argument::<$0>({index});"),
            Some(_) if hook.parameters != Parameters::Typed => {
                let says = format!(
                    "the verifier does not know what `#[{}]` hands over: take `*const T`, and read \
                     it by `core_read!` or `read_kernel`",
                    hook.name
                );
                return Err(Error::new(parameter.span, says));
            }
            Some(_) if parameter.is_mutable() => {
                let says = "what is the kernel's can only be read: `&T`";
                return Err(Error::new(parameter.span, says));
            }
            Some(_) => {
                // Where it is null, the program is not asked.
                let otherwise = match hook.returns {
                    Returns::Permit => "::skep_ebpf::Error::EFAULT.number()".to_owned(),
                    Returns::Verdict(verdict) => format!(
                        "::skep_ebpf::hook::Verdict::number(
                             <::skep_ebpf::hook::{verdict} as ::skep_ebpf::hook::Verdict>::ON_ERROR
                         )"
                    ),
                    Returns::Watch | Returns::Answer | Returns::Number => "0".to_owned(),
                };
                format!(
                    "let ::core::option::Option::Some(__argument{index}) =
                         __entered.argument::<::core::option::Option<$0>>({index})
                     else {{ return {otherwise}; }};"
                )
            }
        };
        body.statements.extend(fill(&value, &[&parameter.r#type]));
        body.values
            .extend(fill(&format!("__argument{index},"), &[]));
    }
    Ok(())
}

/// The tracepoints of single system calls, which have no types of their own in BTF.
#[derive(Clone, Copy)]
enum Syscall {
    Enter,
    Exit,
}

impl Syscall {
    fn of(place: &Place) -> Option<Self> {
        let name = place.target.as_deref()?.strip_prefix("syscalls/")?;
        match name {
            name if name.starts_with("sys_enter_") => Some(Self::Enter),
            name if name.starts_with("sys_exit_") => Some(Self::Exit),
            _ => None,
        }
    }

    fn arguments(self, body: &mut Body, parameters: &[Parameter]) -> Result<(), Error> {
        let (most, function, says) = match self {
            Self::Enter => (
                6,
                "syscall_argument",
                "a system call has six arguments at most",
            ),
            Self::Exit => (
                1,
                "syscall_returned",
                "at its exit a system call has one value: what it returned",
            ),
        };
        if let Some(extra) = parameters.get(most) {
            return Err(Error::new(extra.span, says));
        }
        for (index, parameter) in parameters.iter().enumerate() {
            let value = format!("__entered.{function}::<$0>({index}),");
            body.values.extend(fill(&value, &[&parameter.r#type]));
        }
        Ok(())
    }
}

/// Fields by name.
fn fields(body: &mut Body, place: &Place, parameters: &[Parameter]) -> Result<(), Error> {
    let Some(first) = parameters.first() else {
        return Ok(());
    };
    let name = place
        .target
        .as_deref()
        .and_then(|target| target.split('/').nth(1));
    let Some(class) = place.class.as_deref().or(name) else {
        let says =
            "fields are found by the tracepoint's name: `#[tracepoint(\"sched/sched_switch\")]`";
        return Err(Error::new(first.span, says));
    };
    let mut declared = TokenStream::new();
    let mut loads = TokenStream::new();
    for (index, parameter) in parameters.iter().enumerate() {
        let Some(name) = &parameter.name else {
            let says = "fields are found by their names: `prev_pid: i32`";
            return Err(Error::new(parameter.span, says));
        };
        if parameter.referred().is_some() {
            let says = "a field is a number, a pointer, an array such as `[u8; 16]`, or \
                        `DynamicField`: a reference can't be taken";
            return Err(Error::new(parameter.span, says));
        }
        let dynamic = parameter
            .type_name()
            .is_some_and(|name| name == "DynamicField");
        let field = match dynamic {
            true => Ident::new(&format!("__data_loc_{}", plain(name)), name.span()),
            false => name.clone(),
        };
        let field = TokenTree::Ident(field).into();
        let array = matches!(
            parameter.r#type.clone().into_iter().next(),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket
        );
        let (r#type, load) = match (dynamic, array) {
            (true, _) => (
                fill("u32", &[]),
                "::skep_ebpf::context::DynamicField::new(
                     __record.cast(), ::skep_ebpf::core_load!(__record.$0)
                 )",
            ),
            (false, true) => (
                parameter.r#type.clone(),
                "match ::skep_ebpf::core_read!(__record.$0) {
                     ::core::result::Result::Ok(value) => value,
                     ::core::result::Result::Err(_) => return 0,
                 }",
            ),
            (false, false) => (
                parameter.r#type.clone(),
                "::skep_ebpf::core_load!(__record.$0)",
            ),
        };
        declared.extend(fill("$0: $1,", &[&field, &r#type]));
        loads.extend(fill(&format!("let __field{index} = {load};"), &[&field]));
        body.values.extend(fill(&format!("__field{index},"), &[]));
    }
    let record = format!(
        "#[::skep_ebpf::co_re::kernel(name = \"trace_event_raw_{class}\")]
         struct __Record {{ $0 }}
         let __record = __context.cast_const().cast::<__Record>();"
    );
    body.statements.extend(fill(&record, &[&declared]));
    body.statements.extend(loads);
    Ok(())
}
