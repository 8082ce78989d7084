//! Names that C can have: characters that it refuses are replaced, and the second type of one name
//! gets a suffix. CO-RE ignores what follows three underscores, so that it stays the same type.

use crate::TypeId;
use std::borrow::Cow;
use std::collections::HashMap;

/// Which of C's name spaces a name is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Space {
    /// Structures, unions and enumerations; with the keyword that they go by.
    Tag(&'static str),
    /// Typedefs and enumerators.
    Ordinary,
}

/// The types of one keyword and one name: the first of them has this suffix, defined or only
/// declared so far.
#[derive(Debug, Clone, Copy)]
struct Tag {
    suffix: u32,
    defined: bool,
}

#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    tags: HashMap<(&'a str, &'static str), Tag>,
    /// How many structures, unions and enumerations of a name there are.
    tag_counts: HashMap<&'a str, u32>,
    ordinary_counts: HashMap<&'a str, u32>,
    /// What each type got.
    suffixes: HashMap<TypeId, u32>,
}

impl<'a> Names<'a> {
    /// The name of a type that is defined (not only declared), the same each time.
    pub(super) fn of_type(&mut self, id: TypeId, name: &'a str, space: Space) -> Cow<'a, str> {
        let suffix = match (self.suffixes.get(&id), space) {
            (Some(known), _) => return with_suffix(self.identifier(name), *known),
            (None, Space::Ordinary) => count(&mut self.ordinary_counts, name),
            (None, Space::Tag(keyword)) => {
                let tag = self.tag(name, keyword);
                let first = !tag.defined;
                tag.defined = true;
                if first {
                    tag.suffix
                } else {
                    count(&mut self.tag_counts, name)
                }
            }
        };
        self.suffixes.insert(id, suffix);
        with_suffix(self.identifier(name), suffix)
    }

    /// The name of a forward declaration: that of the first definition with the same keyword.
    pub(super) fn of_forward(&mut self, name: &'a str, keyword: &'static str) -> Cow<'a, str> {
        let suffix = self.tag(name, keyword).suffix;
        with_suffix(self.identifier(name), suffix)
    }

    fn tag(&mut self, name: &'a str, keyword: &'static str) -> &mut Tag {
        let counts = &mut self.tag_counts;
        self.tags.entry((name, keyword)).or_insert_with(|| Tag {
            suffix: count(counts, name),
            defined: false,
        })
    }

    /// The name of an enumerator that is printed now.
    pub(super) fn of_enumerator(&mut self, name: &'a str) -> Cow<'a, str> {
        let suffix = count(&mut self.ordinary_counts, name);
        with_suffix(self.identifier(name), suffix)
    }

    /// The name with what C refuses replaced by underscores: names from Rust may have anything.
    pub(super) fn identifier<'n>(&self, name: &'n str) -> Cow<'n, str> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let digit_first = name.as_bytes().first().is_some_and(u8::is_ascii_digit);
        if !digit_first && name.bytes().all(letter) && !is_keyword(name) {
            return Cow::Borrowed(name);
        }
        let mut clean = String::with_capacity(name.len().saturating_add(1));
        if digit_first {
            clean.push('_');
        }
        clean.extend(name.chars().map(|one| {
            if u8::try_from(one).is_ok_and(letter) {
                one
            } else {
                '_'
            }
        }));
        if is_keyword(&clean) {
            clean.push('_');
        }
        Cow::Owned(clean)
    }
}

/// One more of this name.
fn count<'a>(counts: &mut HashMap<&'a str, u32>, name: &'a str) -> u32 {
    let count = counts.entry(name).or_insert(0);
    *count = count.saturating_add(1);
    *count
}

fn with_suffix(name: Cow<'_, str>, count: u32) -> Cow<'_, str> {
    if count <= 1 {
        name
    } else {
        Cow::Owned(format!("{name}___{count}"))
    }
}

fn is_keyword(name: &str) -> bool {
    matches!(
        name,
        "auto"
            | "break"
            | "case"
            | "char"
            | "const"
            | "continue"
            | "default"
            | "do"
            | "double"
            | "else"
            | "enum"
            | "extern"
            | "float"
            | "for"
            | "goto"
            | "if"
            | "inline"
            | "int"
            | "long"
            | "register"
            | "restrict"
            | "return"
            | "short"
            | "signed"
            | "sizeof"
            | "static"
            | "struct"
            | "switch"
            | "typedef"
            | "union"
            | "unsigned"
            | "void"
            | "volatile"
            | "while"
            | "_Bool"
            | "asm"
            | "typeof"
            // Known to compilers, whose own may have another size than the kernel's.
            | "__builtin_va_list"
    )
}
