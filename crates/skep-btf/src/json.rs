//! [`JsonDump`]: types as JSON, in the form that `bpftool -j btf dump` made known.

use crate::fields::{Fields, kind_name, or_anonymous, tell};
use crate::{Btf, Type};
use std::fmt;

/// Prints all types of a [`Btf`] (of split BTF: those that are not the base's) as one JSON object,
/// `{"types":[…]}`, with a [`JsonType`] each.
#[derive(Debug, Clone, Copy)]
pub struct JsonDump<'a>(
    /// What to print.
    pub &'a Btf,
);

impl fmt::Display for JsonDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"types\":[")?;
        for (index, one) in self.0.types().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", JsonType(one))?;
        }
        f.write_str("]}")
    }
}

/// Prints one type as a JSON object.
///
/// Each has `id`, `kind` (as [`KindTag::kernel_name`](crate::KindTag::kernel_name), or `UNKNOWN`)
/// and `name` (`(anon)` where there is none), and by kind:
///
/// | kind | fields |
/// |---|---|
/// | `INT` | `size`, `bits_offset`, `nr_bits`, `encoding`: `(none)`, `SIGNED`, `CHAR`, `BOOL` |
/// | `PTR`, `TYPEDEF`, `VOLATILE`, `CONST`, `RESTRICT`, `TYPE_TAG` | `type_id` |
/// | `ARRAY` | `type_id`, `index_type_id`, `nr_elems` |
/// | `STRUCT`, `UNION` | `size`, `vlen`, `members`: `name`, `type_id`, `bits_offset`, `bitfield_size` if it is one |
/// | `ENUM`, `ENUM64` | `encoding`: `SIGNED`, `UNSIGNED`; `size`, `vlen`, `values`: `name`, `val` |
/// | `FWD` | `fwd_kind`: `struct`, `union` |
/// | `FUNC`, `VAR` | `type_id`, `linkage`: `static`, `global`, `extern`, `(unknown)` |
/// | `FUNC_PROTO` | `ret_type_id`, `vlen`, `params`: `name`, `type_id` |
/// | `DATASEC` | `size`, `vlen`, `vars`: `type_id`, `offset`, `size` |
/// | `FLOAT` | `size` |
/// | `DECL_TAG` | `type_id`, `component_idx`: -1 for the whole |
/// | `UNKNOWN` | `kind_number` |
///
/// Sizes and offsets are bytes, but what has `bits` in its name. `val` can take 64 bits, signed or
/// not, which not every reader of JSON keeps exact.
#[derive(Debug, Clone, Copy)]
pub struct JsonType<'a>(
    /// What to print.
    pub Type<'a>,
);

impl fmt::Display for JsonType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, kind) = (self.0.id(), kind_name(self.0.tag()));
        let name = Text(or_anonymous(self.0.name()));
        write!(f, "{{\"id\":{id},\"kind\":\"{kind}\",\"name\":{name}")?;
        let list = List::None;
        tell(self.0, &mut Object { f, list })?;
        f.write_str("}")
    }
}

/// Writes `,"key":value`, elements as objects in a list.
struct Object<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    list: List,
}

/// Where in the list of elements the next field stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// In none.
    None,
    /// Before the first element.
    Empty,
    /// At the start of an element.
    Start,
    /// Within an element.
    Within,
}

impl Object<'_, '_> {
    fn field(&mut self, key: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        let comma = if self.list == List::Start { "" } else { "," };
        if self.list == List::Start {
            self.list = List::Within;
        }
        write!(self.f, "{comma}\"{key}\":{value}")
    }
}

impl Fields for Object<'_, '_> {
    fn number(&mut self, key: &'static str, value: i128) -> fmt::Result {
        self.field(key, format_args!("{value}"))
    }

    fn word(&mut self, key: &'static str, value: &str) -> fmt::Result {
        self.field(key, format_args!("{}", Text(value)))
    }

    fn list(&mut self, key: &'static str) -> fmt::Result {
        self.list = List::Empty;
        write!(self.f, ",\"{key}\":[")
    }

    fn element(&mut self, name: Option<&str>) -> fmt::Result {
        let before = if self.list == List::Empty { "{" } else { "},{" };
        self.f.write_str(before)?;
        self.list = List::Start;
        match name {
            Some(name) => self.word("name", or_anonymous(name)),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> fmt::Result {
        let end = if self.list == List::Empty { "]" } else { "}]" };
        self.list = List::None;
        self.f.write_str(end)
    }

    fn remark(&mut self, _text: fmt::Arguments<'_>) -> fmt::Result {
        Ok(())
    }
}

/// A string of JSON.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        f.write_str("\"")?;
        while let Some(at) = rest.find(|one: char| one < ' ' || one == '"' || one == '\\') {
            let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            f.write_str(plain)?;
            let mut chars = tail.chars();
            match chars.next() {
                Some(quoted @ ('"' | '\\')) => write!(f, "\\{quoted}")?,
                Some(control) => write!(f, "\\u{:04x}", u32::from(control))?,
                None => {}
            }
            rest = chars.as_str();
        }
        write!(f, "{rest}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;

    #[test]
    fn any_name_is_a_string() {
        let odd = "q\"b\\n\n\u{1}é";
        assert_eq!(Text(odd).to_string(), r#""q\"b\\n\u000a\u0001é""#);
    }

    #[test]
    fn each_element_is_an_object() {
        let mut types = Builder::new();
        let int = types.int("int", 4, IntEncoding::SIGNED);
        types.structure("empty", 0, &[]);
        let (x, mut y) = (NewMember::new("x", int, 0), NewMember::new("", int, 32));
        y.bitfield_size = 3;
        types.structure("two", 8, &[x, y]);
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        assert_eq!(
            JsonDump(&btf).to_string(),
            concat!(
                r#"{"types":[{"id":1,"kind":"INT","name":"int","size":4,"bits_offset":0,"#,
                r#""nr_bits":32,"encoding":"SIGNED"},"#,
                r#"{"id":2,"kind":"STRUCT","name":"empty","size":0,"vlen":0,"members":[]},"#,
                r#"{"id":3,"kind":"STRUCT","name":"two","size":8,"vlen":2,"members":["#,
                r#"{"name":"x","type_id":1,"bits_offset":0},"#,
                r#"{"name":"(anon)","type_id":1,"bits_offset":32,"bitfield_size":3}]}]}"#,
            )
        );
    }
}
