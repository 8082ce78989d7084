//! `#[kernel]`: a type of the kernel, declared by the fields that are used.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

mod enumeration;

use crate::{
    place::is,
    quote::{Error, Quote, method, plain},
};

/// Where the traits are that declarations implement.
const TYPES: &str = "::skep_ebpf::co_re::";

/// A declaration, read.
struct Declaration {
    /// Attributes and visibility, which the type keeps.
    head: Vec<TokenTree>,
    name: Ident,
    body: Group,
}

/// A field, read.
struct Field {
    docs: Vec<TokenTree>,
    name: Ident,
    kernel_name: String,
    bits: bool,
    of: Vec<TokenTree>,
}

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let said = Said::read(attribute)?;
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let at = tokens.iter().position(|token| {
        matches!(token, TokenTree::Ident(word)
            if ["struct", "union", "enum"].contains(&word.to_string().as_str()))
    });
    let expected = |span| Error::new(span, "expected a struct, union or enum with fields");
    let at = at.ok_or_else(|| expected(Span::call_site()))?;
    let (head, rest) = tokens.split_at(at);
    let [
        TokenTree::Ident(kind),
        TokenTree::Ident(name),
        TokenTree::Group(body),
    ] = rest
    else {
        let span = rest.get(2).map_or_else(Span::call_site, TokenTree::span);
        return Err(expected(span));
    };
    if body.delimiter() != Delimiter::Brace {
        return Err(expected(body.span()));
    }
    let declaration = Declaration {
        head: head.to_vec(),
        name: name.clone(),
        body: body.clone(),
    };
    let kernel_name = said.name.unwrap_or_else(|| plain(name));
    match (kind.to_string().as_str(), said.typedef) {
        ("struct", None) => structure(declaration, "s", &kernel_name),
        ("union", None) => structure(declaration, "n", &kernel_name),
        ("struct", Some(_)) => structure(declaration, "t", &kernel_name),
        ("union", Some(_)) => structure(declaration, "y", &kernel_name),
        (_, None) => enumeration::expand(declaration, &kernel_name),
        (_, Some(at)) => {
            let message =
                "`typedef` is for structures and unions: an enumeration needs no name here";
            Err(Error::new(at, message))
        }
    }
}

/// What stands in the attribute's parentheses.
#[derive(Default)]
struct Said {
    /// The kernel's name, of `name = "…"`.
    name: Option<String>,
    /// The name is a typedef's, of a type that has none.
    typedef: Option<Span>,
}

impl Said {
    fn read(attribute: TokenStream) -> Result<Self, Error> {
        let mut said = Self::default();
        for part in split(attribute) {
            match part.as_slice() {
                [TokenTree::Ident(word)] if word.to_string() == "typedef" => {
                    said.typedef = Some(word.span());
                }
                [TokenTree::Ident(key), equals, TokenTree::Literal(text)]
                    if key.to_string() == "name" && is(equals, '=') =>
                {
                    said.name = Some(name_of(text)?);
                }
                other => {
                    let span = other.first().map_or_else(Span::call_site, TokenTree::span);
                    let message = "expected `name = \"…\"`, the kernel's name of the type, or \
                                   `typedef`, where only a typedef names it";
                    return Err(Error::new(span, message));
                }
            }
        }
        Ok(said)
    }
}

/// The kernel's name that a literal gives.
pub(crate) fn name_of(literal: &proc_macro::Literal) -> Result<String, Error> {
    let text = literal.to_string();
    let name = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let word = |name: &&str| {
        let inner = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        let starts_well = !name.starts_with(|first: char| first.is_ascii_digit());
        !name.is_empty() && starts_well && name.len() < 128 && name.bytes().all(inner)
    };
    name.filter(word).map(str::to_owned).ok_or_else(|| {
        let message = "expected a name of the kernel's in quotes: letters, digits and `_`";
        Error::new(literal.span(), message)
    })
}

fn structure(
    declaration: Declaration,
    letter: &str,
    kernel_name: &str,
) -> Result<TokenStream, Error> {
    let Declaration { head, name, body } = declaration;
    let fields = fields(body.stream())?;

    let mut names = TokenStream::new();
    let mut methods = Quote::default();
    let (mut declared, mut hash) = (Quote::default(), Quote::new("0xcbf2_9ce4_8422_2325"));
    for (index, field) in fields.iter().enumerate() {
        names.extend(TokenStream::from(literal(&field.kernel_name)));
        names.extend(TokenStream::from(Quote::new(",")));
        let of = match field.bits {
            true => Quote::new(TYPES)
                .code("Bits<")
                .tokens(field.of.clone())
                .code(">"),
            false => Quote::default().tokens(field.of.clone()),
        };
        let cursor = format!("{TYPES}hidden::Cursor<{TYPES}hidden::Field<P,");
        let body = Quote::new("self.0.to()");
        methods = methods
            .tokens(field.docs.clone())
            .code("#[inline(always)] pub fn")
            .ident(&method(&plain(&field.name), field.name.span())?)
            .code("(self) ->")
            .code(&cursor)
            .tokens(TokenStream::from(of.clone()))
            .code(&format!(", {index}>>"))
            .braces(body);
        declared = declared
            .code(
                "::skep_ebpf::co_re::hidden::declare::<\
                   ::skep_ebpf::co_re::hidden::DeclaredField<Self,",
            )
            .tokens(TokenStream::from(of.clone()))
            .code(&format!(", {index}>>(); <"))
            .tokens(TokenStream::from(of.clone()))
            .code("as ::skep_ebpf::co_re::hidden::KernelType>::declare();");
        let start = Quote::new("::skep_ebpf::co_re::hidden::Text::new().str")
            .parens(TokenStream::from(literal(&field.kernel_name)))
            .code(".text")
            .parens(
                Quote::new("<")
                    .tokens(TokenStream::from(of))
                    .code("as ::skep_ebpf::co_re::hidden::KernelType>::TEXT"),
            );
        hash = start.code(".hash").parens(hash);
    }

    let text = format!("{letter}{kernel_name};");
    // All that is declared is what counts there, so a number of it is in the text.
    let tagged = format!("{}{kernel_name}@", letter.to_uppercase());
    let known = Quote::new(
        "const TEXT: ::skep_ebpf::co_re::hidden::Text = \
         ::skep_ebpf::co_re::hidden::Text::new().str",
    )
    .parens(TokenStream::from(literal(&text)))
    .code(
        "; const DECLARED: ::skep_ebpf::co_re::hidden::Text = \
         ::skep_ebpf::co_re::hidden::Text::new().str",
    )
    .parens(TokenStream::from(literal(&tagged)))
    .code(".number")
    .parens(hash.code("as usize"))
    .code(".str(\";\"); #[inline(always)] fn declare()")
    .braces(declared);
    let cursor = "::skep_ebpf::co_re::hidden::Cursor<P>";
    let path = "P: ::skep_ebpf::co_re::hidden::Path<Type = Self>";
    let kernel = Quote::new("const FIELDS: &'static [&'static str] = &")
        .group(Delimiter::Bracket, names)
        .code(&format!(
            ";
            type Fields<{path}> = Fields<P>;
            #[inline(always)]
            fn fields<{path}>(at: {cursor}) -> Fields<P> {{ Fields(at) }}"
        ));
    let enter = Quote::new(&format!(
        "type Kernel = Self;
        type Path<{path}> = P;
        #[inline(always)]
        fn load<{path}>(at: {cursor}) -> {cursor} {{ at }}
        #[inline(always)]
        fn read<{path}, M: ::skep_ebpf::co_re::hidden::Memory>(
            at: {cursor}
        ) -> ::skep_ebpf::Result<{cursor}> {{ Ok(at) }}
        #[inline(always)]
        fn name<{path}>(at: {cursor}) -> {cursor} {{ at }}
        #[inline(always)]
        fn probe<{path}>(at: {cursor}) -> {cursor} {{ at }}"
    ));
    let inner = Quote::new(&format!("pub struct Fields<P>({cursor});"))
        .code("#[allow(dead_code, non_snake_case)] impl<P: ::skep_ebpf::co_re::hidden::Path<Type =")
        .ident(&name)
        .code(">> Fields<P>")
        .braces(methods)
        .code("unsafe impl ::skep_ebpf::co_re::hidden::KernelType for")
        .ident(&name)
        .braces(known)
        .code("unsafe impl ::skep_ebpf::co_re::Kernel for")
        .ident(&name)
        .braces(kernel)
        .code("impl ::skep_ebpf::co_re::hidden::Enter for")
        .ident(&name)
        .braces(enter)
        .code("impl ::skep_ebpf::co_re::hidden::Named for")
        .ident(&name)
        .code("{}");
    Ok(Quote::default()
        .code("#[repr(C)] #[allow(non_camel_case_types, non_snake_case)]")
        .tokens(head)
        .code("struct")
        .ident(&name)
        .braces(
            // By this name, who finishes the object knows whose references maps hold.
            Quote::default()
                .code("#[allow(dead_code)]")
                .ident(&method(kernel_name, name.span())?)
                .code(": [u8; 0]"),
        )
        .code("#[allow(unsafe_code, non_camel_case_types, clippy::all)] const _: () =")
        .braces(inner)
        .code(";")
        .into())
}

/// Fields of a body.
fn fields(body: TokenStream) -> Result<Vec<Field>, Error> {
    let mut fields = Vec::new();
    for tokens in split(body) {
        let mut docs = Vec::new();
        let (mut kernel_name, mut bits) = (None, false);
        let mut rest = tokens.as_slice();
        while let [hash, TokenTree::Group(attribute), tail @ ..] = rest
            && is(hash, '#')
        {
            let words: Vec<TokenTree> = attribute.stream().into_iter().collect();
            match words.as_slice() {
                [TokenTree::Ident(word)] if word.to_string() == "bits" => bits = true,
                [TokenTree::Ident(word), equals, TokenTree::Literal(text)]
                    if word.to_string() == "name" && is(equals, '=') =>
                {
                    kernel_name = Some(name_of(text)?);
                }
                [TokenTree::Ident(word), ..]
                    if ["doc", "allow", "expect"].contains(&word.to_string().as_str()) =>
                {
                    docs.extend([hash.clone(), TokenTree::Group(attribute.clone())]);
                }
                _ => {
                    let message = "expected `#[bits]`, `#[name = \"…\"]` or documentation";
                    return Err(Error::new(attribute.span(), message));
                }
            }
            rest = tail;
        }
        if let [TokenTree::Ident(word), tail @ ..] = rest
            && word.to_string() == "pub"
        {
            rest = match tail {
                [TokenTree::Group(inside), tail @ ..]
                    if inside.delimiter() == Delimiter::Parenthesis =>
                {
                    tail
                }
                tail => tail,
            };
        }
        let [TokenTree::Ident(name), colon, of @ ..] = rest else {
            let span = rest.first().or(tokens.last());
            let span = span.map_or_else(Span::call_site, TokenTree::span);
            return Err(Error::new(span, "expected a field, such as `pid: i32`"));
        };
        if !is(colon, ':') || of.is_empty() {
            return Err(Error::new(
                colon.span(),
                "expected `:` and the field's type",
            ));
        }
        fields.push(Field {
            docs,
            name: name.clone(),
            kernel_name: kernel_name.unwrap_or_else(|| plain(name)),
            bits,
            of: of.to_vec(),
        });
    }
    Ok(fields)
}

/// Splits at the commas that are in no angle brackets.
pub(crate) fn split(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let (mut parts, mut depth, mut arrow) = (vec![Vec::new()], 0_u32, false);
    for token in tokens {
        match &token {
            token if is(token, '<') => depth += 1,
            // The end of `->` is none.
            token if is(token, '>') && !arrow => depth = depth.saturating_sub(1),
            token if is(token, ',') && depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        arrow = is(&token, '-');
        if let Some(part) = parts.last_mut() {
            part.push(token);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

pub(crate) fn literal(text: &str) -> TokenTree {
    TokenTree::Literal(proc_macro::Literal::string(text))
}
