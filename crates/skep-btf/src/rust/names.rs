//! Names that Rust can have. All types are in one name space there, unlike C's.

use std::collections::{HashMap, HashSet};

use crate::TypeId;

/// The names that declarations have got.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_id: HashMap<TypeId, String>,
    /// Of types and of constants, since `#[kernel]` makes both of an enumeration.
    known: HashSet<String>,
}

impl Names {
    /// Whether a type has a name already.
    pub(super) fn has(&self, id: TypeId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The name of a type, the same each time; it is to be called `name`.
    pub(super) fn of(&mut self, id: TypeId, name: &str) -> String {
        if let Some(known) = self.by_id.get(&id) {
            return known.clone();
        }
        let name = once(&clean(name), &mut self.known, |name| TAKEN.contains(&name));
        self.by_id.insert(id, name.clone());
        name
    }

    /// The name of a constant.
    pub(super) fn constant(&mut self, name: &str) -> String {
        once(&clean(name), &mut self.known, |_| false)
    }
}

/// A name that nothing has yet.
fn once(name: &str, known: &mut HashSet<String>, taken: impl Fn(&str) -> bool) -> String {
    let mut unique = name.to_owned();
    let mut count = 1_u64;
    // A kernel's types could be called so that each number is another's; but not for ever.
    while taken(&unique) || !known.insert(unique.clone()) {
        count = count.saturating_add(1);
        unique = format!("{name}___{count}");
    }
    match (is_keyword(&unique), can_be_raw(&unique)) {
        (true, true) => format!("r#{unique}"),
        _ => unique,
    }
}

/// The name of a field or an enumerator; and the kernel's, if Rust can't have that at all.
pub(super) fn field(name: &str) -> (String, Option<&str>) {
    let cleaned = clean(name);
    if !can_be_raw(name) {
        (format!("{cleaned}_"), Some(name))
    } else if cleaned == name && is_keyword(name) {
        (format!("r#{name}"), None)
    } else {
        (cleaned, None)
    }
}

/// The name with what Rust refuses replaced by underscores.
fn clean(name: &str) -> String {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut cleaned = String::with_capacity(name.len());
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        cleaned.push('_');
    }
    cleaned.extend(name.chars().map(|one| match u8::try_from(one) {
        Ok(byte) if letter(byte) => one,
        _ => '_',
    }));
    match cleaned.as_str() {
        "_" => "__".to_owned(),
        _ => cleaned,
    }
}

fn can_be_raw(name: &str) -> bool {
    !matches!(name, "self" | "Self" | "super" | "crate" | "_")
}

/// Names of Rust's types, and of what `#[kernel]` makes, which a declaration would hide.
const TAKEN: [&str; 29] = [
    "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64",
    "i128", "isize", "f16", "f32", "f64", "f128", "c_void", "kernel", "Self", "self", "super",
    "crate", "Fields", "Ok", "P", "M",
];

fn is_keyword(name: &str) -> bool {
    matches!(
        name,
        "abstract"
            | "as"
            | "async"
            | "await"
            | "become"
            | "box"
            | "break"
            | "const"
            | "continue"
            | "do"
            | "dyn"
            | "else"
            | "enum"
            | "extern"
            | "false"
            | "final"
            | "fn"
            | "for"
            | "gen"
            | "if"
            | "impl"
            | "in"
            | "let"
            | "loop"
            | "macro"
            | "match"
            | "mod"
            | "move"
            | "mut"
            | "override"
            | "priv"
            | "pub"
            | "ref"
            | "return"
            | "static"
            | "struct"
            | "trait"
            | "true"
            | "try"
            | "type"
            | "typeof"
            | "unsafe"
            | "unsized"
            | "use"
            | "virtual"
            | "where"
            | "while"
            | "yield"
    )
}
