//! `#[derive(Plain)]`: a structure that is nothing but its fields' bytes, checked by the compiler.

use proc_macro::{Delimiter, TokenStream, TokenTree};

use crate::show;

/// The implementation, with assertions on the layout beside it.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let records = show::records(item.clone());
    let code = match read(item) {
        Ok(structure) => structure.code(),
        Err(message) => format!("::core::compile_error!({message:?});"),
    };
    let (records, wrong) = match records {
        Ok(records) => (records, TokenStream::new()),
        Err(error) => (String::new(), error.tokens()),
    };
    let mut tokens: TokenStream = (code + &records).parse().unwrap_or_default();
    tokens.extend(wrong);
    tokens
}

struct Structure {
    name: String,
    /// The types of its fields, as text.
    fields: Vec<String>,
}

impl Structure {
    fn code(&self) -> String {
        let Self { name, fields } = self;
        let mut checks = String::new();
        let mut sum = String::from("0");
        for field in fields {
            checks.push_str(&format!("plain::<{field}>();"));
            sum.push_str(&format!("+ ::core::mem::size_of::<{field}>()"));
        }
        format!(
            "const _: () = {{
                const fn plain<T: ::skep_ebpf::Plain>() {{}}
                {checks}
                assert!(
                    ::core::mem::size_of::<{name}>() == {sum},
                    \"the structure has padding, whose bytes are never written: \
                      put fields such as `padding: [u8; 4]` there\"
                );
            }};
            // SAFETY: its fields are plain, and there is nothing between or behind them.
            unsafe impl ::skep_ebpf::Plain for {name} {{}}"
        )
    }
}

fn read(item: TokenStream) -> Result<Structure, &'static str> {
    let mut tokens = item.into_iter().peekable();
    let mut laid_out = false;
    let name = loop {
        match tokens.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
                let attribute = group.stream().to_string();
                laid_out |= attribute.starts_with("repr")
                    && (attribute.contains('C') || attribute.contains("transparent"));
            }
            Some(TokenTree::Ident(word)) if word.to_string() == "struct" => match tokens.next() {
                Some(TokenTree::Ident(name)) => break name.to_string(),
                _ => return Err("a structure has a name"),
            },
            Some(TokenTree::Ident(word)) if ["enum", "union"].contains(&&*word.to_string()) => {
                return Err(
                    "only structures can be plain: not every number is one of an enum, and \
                    bytes of a union may be unwritten",
                );
            }
            Some(_) => {}
            None => return Err("only structures can be plain"),
        }
    };
    if !laid_out {
        return Err(
            "write `#[repr(C)]` below `#[derive(Plain)]`: without it the compiler is free to \
            change the order of fields",
        );
    }
    let fields = match tokens.next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            types(group.stream(), true)
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            types(group.stream(), false)
        }
        Some(TokenTree::Punct(punct)) if punct.as_char() == ';' => Vec::new(),
        _ => {
            return Err("a structure with parameters cannot be checked: implement `Plain` by hand");
        }
    };
    Ok(Structure { name, fields })
}

/// What stands behind the colon of each field, or, without names, behind attributes and `pub`.
fn types(fields: TokenStream, named: bool) -> Vec<String> {
    let mut types = Vec::new();
    let mut current: Vec<TokenTree> = Vec::new();
    let (mut depth, mut arrow) = (0_i32, false);
    for token in fields {
        let mut end = false;
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                '<' => depth += 1,
                '>' if !arrow => depth -= 1,
                ',' if depth == 0 => end = true,
                _ => {}
            }
            arrow = punct.as_char() == '-';
        }
        if end {
            types.extend(field_type(std::mem::take(&mut current), named));
        } else {
            current.push(token);
        }
    }
    types.extend(field_type(current, named));
    types
}

fn field_type(tokens: Vec<TokenTree>, named: bool) -> Option<String> {
    let from = if named {
        1 + tokens
            .iter()
            .position(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ':'))?
    } else {
        let mut from = 0;
        while let Some(token) = tokens.get(from) {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => from += 2,
                TokenTree::Ident(word) if word.to_string() == "pub" => {
                    from += 1;
                    if matches!(tokens.get(from), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis)
                        && tokens.len() > from + 1
                    {
                        from += 1;
                    }
                }
                _ => break,
            }
        }
        from
    };
    let text: TokenStream = tokens.get(from..)?.iter().cloned().collect();
    let text = text.to_string();
    (!text.is_empty()).then_some(text)
}
