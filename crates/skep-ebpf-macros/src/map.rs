//! `#[map]`: puts a static where BTF-defined maps are looked for, and says how it is to be shown.

use proc_macro::{Literal, Span, TokenStream, TokenTree};

use crate::{
    quote::{self, Error},
    show,
};

/// The static, exported by its own name or another one, in `.maps`, and what its options leave.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let options = Options::read(attribute)?;
    let own_name = name_of(&item)?;
    let (export, name) = match options.name {
        Some(name) => (format!("export_name = {name:?}"), name),
        None => ("no_mangle".to_owned(), own_name),
    };
    let mut code = parsed(&format!(
        "#[cfg_attr(target_arch = \"bpf\", unsafe({export}), unsafe(link_section = \".maps\"))]"
    ));
    code.extend(item);
    for tag in options.tags {
        code.extend(parsed(&show::record(&name, "", &tag)));
    }
    if let Some(event) = options.event {
        let tag = format!("::core::concat!(\"skep:event=\", ::core::stringify!({event}))");
        code.extend(parsed(&show::record(&name, "", &tag)));
        // Types that nothing else names are not in BTF.
        code.extend(parsed(&show::kept(&event)));
    }
    Ok(code)
}

fn parsed(code: &str) -> TokenStream {
    code.parse().unwrap_or_default()
}

/// The name of a static.
fn name_of(item: &TokenStream) -> Result<String, Error> {
    let mut tokens = item
        .clone()
        .into_iter()
        .skip_while(|token| !is_word(token, "static"));
    tokens.next();
    match tokens.next() {
        Some(TokenTree::Ident(name)) => Ok(quote::plain(&name)),
        _ => {
            let says =
                "a map is a static: `static NAME: HashMap<u32, u64, 1024> = HashMap::new();`";
            Err(Error::new(Span::call_site(), says))
        }
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

/// What stands in the attribute's parentheses.
#[derive(Default)]
struct Options {
    name: Option<String>,
    /// Expressions of texts.
    tags: Vec<String>,
    /// A type's name.
    event: Option<String>,
}

impl Options {
    fn read(attribute: TokenStream) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut tokens = attribute.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let wrong = |message: String| Error::new(token.span(), message);
            let TokenTree::Ident(word) = &token else {
                return Err(wrong(format!("`{token}` is no option of a map: {KNOWN}")));
            };
            let value = match tokens.peek() {
                Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {
                    tokens.next();
                    tokens.next()
                }
                _ => None,
            };
            options.add(&word.to_string(), value).map_err(wrong)?;
            match tokens.next() {
                None => break,
                Some(TokenTree::Punct(punct)) if punct.as_char() == ',' => {}
                Some(other) => {
                    let message = format!("a comma is missing before `{other}`");
                    return Err(Error::new(other.span(), message));
                }
            }
        }
        Ok(options)
    }

    fn add(&mut self, word: &str, value: Option<TokenTree>) -> Result<(), String> {
        match (word, value) {
            ("hidden", None) => self.tags.push("\"skep:hidden\"".to_owned()),
            ("hidden", Some(_)) => return Err("`hidden` stands alone".into()),
            ("title" | "histogram", Some(TokenTree::Literal(text))) => {
                let tag = format!("::core::concat!(\"skep:{word}=\", {text})");
                self.tags.push(tag);
            }
            ("event", Some(TokenTree::Ident(name))) => self.event = Some(name.to_string()),
            ("event", _) => return Err("`event` is a type's name: `event = Event`".into()),
            ("name", Some(TokenTree::Literal(text))) => self.name = Some(map_name(&text)?),
            ("title" | "histogram" | "name", _) => {
                return Err(format!("`{word}` is a text: `{word} = \"…\"`"));
            }
            _ => return Err(format!("`{word}` is no option of a map: {KNOWN}")),
        }
        Ok(())
    }
}

/// A name between quotes.
fn map_name(text: &Literal) -> Result<String, String> {
    let text = text.to_string();
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let is_name = |name: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(plain)
    };
    let name = inner.filter(is_name);
    name.map(str::to_owned)
        .ok_or_else(|| format!("{text} is no name: letters, digits and `_` between quotes"))
}

const KNOWN: &str = "known are `name = \"…\"`, `title = \"…\"`, `histogram = \"unit\"`, `event = Type` and `hidden`";

/// The one option of what is no map: `name = "…"`.
pub(crate) fn name_option(attribute: TokenStream) -> Result<Option<String>, Error> {
    let options = Options::read(attribute)?;
    match (options.event, options.tags.is_empty()) {
        (None, true) => Ok(options.name),
        _ => {
            let says = "a setting has one option: `name = \"…\"`";
            Err(Error::new(Span::call_site(), says))
        }
    }
}
