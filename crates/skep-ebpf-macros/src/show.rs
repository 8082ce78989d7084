//! What programs tell of how their output is to be shown: records for those who finish the object,
//! which make typedefs and tags of BTF of them.

use proc_macro::{Delimiter, TokenStream, TokenTree};

use crate::quote::{Error, plain};

/// Code that leaves a record: `what` of a field of a structure, of the structure itself, or of a
/// variable. `what` is an expression of a text: the name of a typedef, or a tag with its prefix.
pub(crate) fn record(name: &str, field: &str, what: &str) -> String {
    let text = format!("::core::concat!({name:?}, \"\\0\", {field:?}, \"\\0\", {what}, \"\\0\")");
    format!(
        "#[cfg(target_arch = \"bpf\")]
        const _: () = {{
            #[used]
            #[unsafe(link_section = \".skep.show\")]
            static RECORD: [u8; {text}.len()] = ::skep_ebpf::show::bytes({text});
        }};"
    )
}

/// Code that has a type described that nothing else may name.
pub(crate) fn kept(of: &str) -> String {
    format!(
        "#[cfg(target_arch = \"bpf\")]
        const _: () = {{
            #[used]
            #[unsafe(link_section = \".skep.types\")]
            static mut KEPT: *const {of} = ::core::ptr::null();
        }};"
    )
}

/// How something is to be shown.
#[derive(Clone)]
enum Shown {
    /// As the typedef or tag says.
    As(&'static str),
    /// By the names of an enumeration, whose path this is.
    Named(String),
}

impl Shown {
    /// Code for what is said of a structure or of one of its fields.
    fn code(&self, structure: &str, field: &str) -> String {
        match self {
            Self::As(word) => record(structure, field, &format!("{word:?}")),
            Self::Named(path) => {
                let name = path.rsplit("::").next().unwrap_or(path).trim();
                record(structure, field, &format!("{:?}", format!("enum {name}"))) + &kept(path)
            }
        }
    }
}

/// Code for what `#[show(word)]` says of a structure and of its fields.
pub(crate) fn records(item: TokenStream) -> Result<String, Error> {
    let mut code = String::new();
    let mut said: Option<Shown> = None;
    let mut name = String::new();
    let mut tokens = item.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                said = said.or(word(tokens.peek())?)
            }
            TokenTree::Ident(word) if word.to_string() == "struct" => {
                if let Some(TokenTree::Ident(ident)) = tokens.next() {
                    name = plain(&ident);
                }
                if let Some(shown) = said.take() {
                    code += &shown.code(&name, "");
                }
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                fields(&name, group.stream(), &mut code)?;
            }
            _ => {}
        }
    }
    Ok(code)
}

fn fields(structure: &str, fields: TokenStream, code: &mut String) -> Result<(), Error> {
    let mut said: Option<Shown> = None;
    let mut last: Option<String> = None;
    let mut tokens = fields.into_iter().peekable();
    // What comes behind a field's colon is its type, up to a comma that is not between `<` and `>`.
    let mut in_type = false;
    let mut depth = 0_i32;
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Punct(punct) => match (punct.as_char(), in_type) {
                ('#', false) => said = said.or(word(tokens.peek())?),
                (':', false) => {
                    in_type = true;
                    if let (Some(shown), Some(field)) = (said.take(), last.take()) {
                        *code += &shown.code(structure, &field);
                    }
                }
                ('<', true) => depth += 1,
                ('>', true) => depth -= 1,
                (',', true) if depth <= 0 => (in_type, depth) = (false, 0),
                _ => {}
            },
            TokenTree::Ident(ident) if !in_type => last = Some(plain(ident)),
            _ => {}
        }
    }
    Ok(())
}

/// What `[show(…)]` says; `None` of other attributes.
fn word(attribute: Option<&TokenTree>) -> Result<Option<Shown>, Error> {
    let Some(TokenTree::Group(attribute)) = attribute else {
        return Ok(None);
    };
    let mut tokens = attribute.stream().into_iter();
    match tokens.next() {
        Some(TokenTree::Ident(name)) if name.to_string() == "show" => {}
        _ => return Ok(None),
    }
    let wrong = |message: &str| Error::new(attribute.span(), message);
    let Some(TokenTree::Group(group)) = tokens.next() else {
        return Err(wrong("how is it to be shown? `#[show(time)]`, for example"));
    };
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    if let [TokenTree::Ident(key), TokenTree::Punct(equals), path @ ..] = tokens.as_slice()
        && key.to_string() == "named"
        && equals.as_char() == '='
    {
        let path = TokenStream::from_iter(path.iter().cloned()).to_string();
        return match path.is_empty() {
            true => Err(wrong("by which enumeration? `#[show(named = Protocol)]`")),
            false => Ok(Some(Shown::Named(path))),
        };
    }
    let text = group.stream().to_string();
    match WORDS.iter().find(|(known, _)| *known == text) {
        Some((_, typedef)) => Ok(Some(Shown::As(typedef))),
        None => {
            let words: Vec<_> = WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
            let known = words.join(", ");
            Err(wrong(&format!(
                "nothing is shown as `{text}`: known are {known}, and `named = Enumeration`"
            )))
        }
    }
}

const WORDS: &[(&str, &str)] = &[
    ("time", "skep_time_t"),
    ("span", "skep_ns_t"),
    ("bytes", "skep_bytes_t"),
    ("kernel_address", "skep_ksym_t"),
    ("user_address", "skep_usym_t"),
    ("kernel_stack", "skep_kstack_t"),
    ("user_stack", "skep_ustack_t"),
    ("pid", "pid_t"),
    ("port", "__be16"),
    ("ipv4", "__be32"),
    ("text", "char"),
    ("bool", "bool"),
    ("hidden", "skep:hidden"),
];
