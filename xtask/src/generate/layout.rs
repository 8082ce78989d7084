//! Structures and unions of a header, laid out as a 64-bit Linux machine does.
//! Members of nested aggregates are flattened to paths such as `ipv4.saddr`.

use std::collections::BTreeMap;

use super::c::{Header, Token};
use crate::Result;

/// A structure or union with its flattened members.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) union: bool,
    pub(super) size: u64,
    pub(super) align: u64,
    pub(super) fields: Vec<Field>,
}

/// One member that is not itself a structure.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) c_type: String,
    pub(super) offset: u64,
    /// Bytes of one element.
    pub(super) size: u64,
    /// Elements of an array; 1 for a single value, 0 for an array of open length.
    pub(super) count: u64,
    /// First bit and width, for bit fields.
    pub(super) bits: Option<(u64, u64)>,
}

/// Lays out every named structure and union of the header, by name.
pub(super) fn structures(header: &Header) -> Result<BTreeMap<String, Layout>> {
    let tokens = &header.tokens;
    let mut known = BTreeMap::new();
    let mut at = 0;
    while at < tokens.len() {
        let keyword = tokens[at].word();
        let union = keyword == Some("union");
        if (union || keyword == Some("struct"))
            && let Some(name) = tokens.get(at + 1).and_then(Token::word)
            && tokens.get(at + 2).is_some_and(|t| t.is("{"))
        {
            let mut parser = Parser {
                header,
                known: &known,
                tokens: &tokens[at + 2..],
            };
            let layout = parser
                .aggregate(union)
                .map_err(|e| format!("`{name}`: {e}"))?;
            at = tokens.len() - parser.tokens.len();
            known.insert(name.to_owned(), layout);
        } else {
            at += 1;
        }
    }
    Ok(known)
}

/// What a declaration's type says about size.
struct Type {
    name: String,
    size: u64,
    align: u64,
    fields: Option<Vec<Field>>,
}

struct Parser<'a> {
    header: &'a Header,
    known: &'a BTreeMap<String, Layout>,
    tokens: &'a [Token],
}

impl Parser<'_> {
    /// Reads `{ members } attributes`, and stops before the declarator or `;`.
    fn aggregate(&mut self, union: bool) -> Result<Layout> {
        self.expect("{")?;
        let mut placed = Placement {
            union,
            at: 0,
            size: 0,
            align: 1,
            fields: Vec::new(),
        };
        while !self.accept("}") {
            self.member(&mut placed)?;
        }
        let (packed, aligned) = self.attributes()?;
        let align = if packed { 1 } else { placed.align }.max(aligned);
        let size = placed.size.next_multiple_of(align);
        Ok(Layout {
            union,
            size,
            align,
            fields: placed.fields,
        })
    }

    fn member(&mut self, placed: &mut Placement) -> Result<()> {
        if self.accept_word("__bpf_md_ptr") {
            return self.context_pointer(placed);
        }
        let base = self.base_type()?;
        if self.accept(";") {
            // An anonymous aggregate: its members are members of this one.
            placed.aggregate("", &base, 1);
            return Ok(());
        }
        if self.accept(":") {
            let width = self.constant(";")?;
            placed.bits("", &base, width);
            return Ok(());
        }
        let mut stars = String::new();
        while self.accept("*") {
            stars.push('*');
        }
        let name = self.word()?;
        if self.accept(":") {
            let width = self.constant(";")?;
            placed.bits(&name, &base, width);
            return Ok(());
        }
        let mut count = 1;
        while self.accept("[") {
            count = if self.accept("]") {
                0
            } else {
                self.constant("]")?
            };
        }
        self.expect(";")?;
        let base = if stars.is_empty() {
            base
        } else {
            Type {
                name: format!("{} {stars}", base.name),
                size: 8,
                align: 8,
                fields: None,
            }
        };
        placed.aggregate(&name, &base, count);
        Ok(())
    }

    /// `__bpf_md_ptr(type, name);`: a pointer in eight aligned bytes.
    fn context_pointer(&mut self, placed: &mut Placement) -> Result<()> {
        self.expect("(")?;
        let base = self.base_type()?;
        self.expect("*")?;
        self.expect(",")?;
        let name = self.word()?;
        self.expect(")")?;
        self.expect(";")?;
        let pointer = Type {
            name: format!("{} *", base.name),
            size: 8,
            align: 8,
            fields: None,
        };
        placed.aggregate(&name, &pointer, 1);
        Ok(())
    }

    fn base_type(&mut self) -> Result<Type> {
        let constant = self.accept_word("const");
        let word = self.word()?;
        let mut base = match word.as_str() {
            "struct" | "union" => {
                if self.tokens.first().is_some_and(|t| t.is("{")) {
                    let layout = self.aggregate(word == "union")?;
                    Type::of(String::new(), &layout)
                } else {
                    let name = self.word()?;
                    let full = format!("{word} {name}");
                    match self.known.get(&name) {
                        Some(layout) => Type::of(full, layout),
                        // Only a pointer to it can follow, which needs no size.
                        None => Type {
                            name: full,
                            size: 0,
                            align: 1,
                            fields: None,
                        },
                    }
                }
            }
            "enum" => Type {
                name: format!("enum {}", self.word()?),
                size: 4,
                align: 4,
                fields: None,
            },
            "unsigned" => Type::scalar(&format!("unsigned {}", self.word()?))?,
            word => Type::scalar(word)?,
        };
        if constant {
            base.name.insert_str(0, "const ");
        }
        Ok(base)
    }

    /// `__attribute__((packed, aligned(8)))`, or nothing.
    fn attributes(&mut self) -> Result<(bool, u64)> {
        let (mut packed, mut aligned) = (false, 1);
        if self.accept_word("__attribute__") {
            self.expect("(")?;
            self.expect("(")?;
            loop {
                match self.word()?.as_str() {
                    "packed" => packed = true,
                    "aligned" => {
                        self.expect("(")?;
                        aligned = self.constant(")")?;
                    }
                    other => return Err(format!("attribute `{other}`").into()),
                }
                if !self.accept(",") {
                    break;
                }
            }
            self.expect(")")?;
            self.expect(")")?;
        }
        Ok((packed, aligned))
    }

    fn constant(&mut self, end: &str) -> Result<u64> {
        let length = self
            .tokens
            .iter()
            .position(|t| t.is(end))
            .ok_or("a constant has no end")?;
        let value = self.header.evaluate(&self.tokens[..length])?;
        self.tokens = &self.tokens[length + 1..];
        Ok(u64::try_from(value)?)
    }

    fn word(&mut self) -> Result<String> {
        match self.tokens.split_first() {
            Some((Token::Word(word), rest)) => {
                self.tokens = rest;
                Ok(word.clone())
            }
            other => Err(format!("a word should stand at {:?}", other.map(|(t, _)| t)).into()),
        }
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.tokens.first().and_then(Token::word) == Some(word);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = self.tokens.first().is_some_and(|t| t.is(sign));
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.accept(sign) {
            return Ok(());
        }
        Err(format!("`{sign}` should stand at {:?}", self.tokens.first()).into())
    }
}

impl Type {
    fn of(name: String, layout: &Layout) -> Self {
        let fields = Some(layout.fields.clone());
        Self {
            name,
            size: layout.size,
            align: layout.align,
            fields,
        }
    }

    fn scalar(name: &str) -> Result<Self> {
        let size = match name {
            "void" => 0,
            "__u8" | "__s8" | "char" | "unsigned char" => 1,
            "__u16" | "__s16" | "__be16" => 2,
            "__u32" | "__s32" | "__be32" | "__wsum" | "int" | "unsigned int" => 4,
            "__u64" | "__s64" | "__be64" | "__aligned_u64" | "long" | "unsigned long" => 8,
            other => return Err(format!("the type `{other}` is not known").into()),
        };
        Ok(Self {
            name: name.to_owned(),
            size,
            align: size.max(1),
            fields: None,
        })
    }
}

/// An aggregate while its members are placed.
struct Placement {
    union: bool,
    /// The next free bit.
    at: u64,
    size: u64,
    align: u64,
    fields: Vec<Field>,
}

impl Placement {
    fn aggregate(&mut self, name: &str, base: &Type, count: u64) {
        let offset = if self.union {
            0
        } else {
            self.at.div_ceil(8).next_multiple_of(base.align)
        };
        match &base.fields {
            Some(fields) => self.fields.extend(fields.iter().map(|field| {
                let separator = if name.is_empty() { "" } else { "." };
                let name = format!("{name}{separator}{}", field.name);
                Field {
                    name,
                    offset: offset + field.offset,
                    ..field.clone()
                }
            })),
            None => self.fields.push(Field {
                name: name.to_owned(),
                c_type: base.name.clone(),
                offset,
                size: base.size,
                count,
                bits: None,
            }),
        }
        self.align = self.align.max(base.align);
        self.advance((offset + base.size * count) * 8);
    }

    /// A bit field goes on in the unit before it if it fits (the x86-64 and BPF rule).
    fn bits(&mut self, name: &str, base: &Type, width: u64) {
        let unit = base.size * 8;
        let start = if self.union { 0 } else { self.at };
        let crosses = start / unit != (start + width - 1) / unit;
        let start = if crosses {
            start.next_multiple_of(unit)
        } else {
            start
        };
        if !name.is_empty() {
            self.align = self.align.max(base.align);
            let offset = start / unit * base.size;
            self.fields.push(Field {
                name: name.to_owned(),
                c_type: base.name.clone(),
                offset,
                size: base.size,
                count: 1,
                bits: Some((start - offset * 8, width)),
            });
        }
        self.advance(start + width);
    }

    fn advance(&mut self, end: u64) {
        self.at = end;
        self.size = self.size.max(end.div_ceil(8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_follow_the_machine() {
        let mut header = Header::default();
        header
            .read(
                "struct in { __be32 a; __be16 b; };\n\
                 struct s { __u8 x; union { __u16 y; struct in z; } u; __u32 :24; \
                 __u32 f:4; __u32 g:30; __bpf_md_ptr(struct in *, p); char name[3 + 1]; \
                 struct in tail[]; } __attribute__((aligned(16)));\n",
            )
            .expect("the text is C");
        let all = structures(&header).expect("the structures lay out");
        let s = &all["s"];
        let fields: Vec<_> = s
            .fields
            .iter()
            .map(|f| (f.name.as_str(), f.offset, f.count, f.bits))
            .collect();
        assert_eq!(
            fields,
            [
                ("x", 0, 1, None),
                ("u.y", 4, 1, None),
                ("u.z.a", 4, 1, None),
                ("u.z.b", 8, 1, None),
                ("f", 12, 1, Some((24, 4))),
                ("g", 16, 1, Some((0, 30))),
                ("p", 24, 1, None),
                ("name", 32, 4, None),
                ("tail.a", 36, 1, None),
                ("tail.b", 40, 1, None),
            ]
        );
        assert_eq!((s.size, s.align), (48, 16));
    }
}
