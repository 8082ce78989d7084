//! The text of records: types, and ways to their parts. `skep_ebpf::co_re` says what it looks like.

/// The deepest nesting of pointers and arrays: more than anyone writes.
const MAX_DEPTH: usize = 16;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Void,
    Int {
        bytes: u32,
        signed: bool,
    },
    Bool {
        bytes: u32,
    },
    Float {
        bytes: u32,
    },
    Pointer(Box<Self>),
    Array {
        len: u32,
        element: Box<Self>,
    },
    Composite(Name),
    /// A type that the compiler described.
    Local(String),
    Enum {
        name: String,
        bytes: u32,
        signed: bool,
    },
    Function {
        returns: Box<Self>,
        takes: Vec<Self>,
    },
}

impl Shape {
    /// Reads the text of a type, and nothing else.
    ///
    /// # Errors
    /// What was expected, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let shape = reader.shape(0)?;
        match reader.rest() {
            "" => Ok(shape),
            _ => Err(reader.expected("the end")),
        }
    }
}

/// The name of a structure or union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) union: bool,
    /// The name is a typedef's, of a type that has none: `atomic_t`.
    pub(super) typedef: bool,
    pub(super) name: String,
    /// Tells declarations of one type apart, where the whole declaration counts.
    pub(super) tag: Option<u64>,
}

/// A step from a type to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Field { name: String, shape: Shape },
    Element(u32),
    Enumerator { name: String, value: u64 },
}

/// A way from a type to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) root: Shape,
    pub(super) steps: Vec<Step>,
}

impl Access {
    /// Reads the text of a record.
    ///
    /// # Errors
    /// What was expected, and where.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(text).map_err(|_| "the text is no UTF-8".to_owned())?;
        let mut reader = Reader { text, at: 0 };
        let root = reader.shape(0)?;
        let mut steps = Vec::new();
        while let Some(letter) = reader.letter() {
            steps.push(match letter {
                b'.' => {
                    let name = reader.name(b'=')?;
                    let shape = reader.shape(0)?;
                    Step::Field { name, shape }
                }
                b'#' => Step::Element(reader.number()?),
                b':' => {
                    let name = reader.name(b'=')?;
                    let negative = reader.rest().starts_with('-');
                    if negative {
                        reader.letter();
                    }
                    let value: u64 = reader.number()?;
                    let value = if negative {
                        value.wrapping_neg()
                    } else {
                        value
                    };
                    Step::Enumerator { name, value }
                }
                _ => return Err(reader.expected("a step")),
            });
        }
        Ok(Self { root, steps })
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} before byte {} of `{}`", self.at, self.text)
    }

    /// The next letter, if it is one of ASCII.
    fn letter(&mut self) -> Option<u8> {
        let letter = self.rest().bytes().next()?;
        self.at = self.at.saturating_add(1);
        Some(letter)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let rest = self.rest();
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest.get(..len).and_then(|digits| digits.parse().ok());
        self.at = self.at.saturating_add(len);
        number.ok_or_else(|| self.expected("a number"))
    }

    /// A name of C's, up to `end`.
    fn name(&mut self, end: u8) -> Result<String, String> {
        let rest = self.rest();
        let len = rest.bytes().take_while(|byte| *byte != end).count();
        let name = rest.get(..len).unwrap_or_default();
        let letters = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        let good = !name.is_empty() && name.bytes().all(letters) && len < rest.len();
        let name = name.to_owned();
        self.at = self.at.saturating_add(len).saturating_add(1);
        match good {
            true => Ok(name),
            false => Err(self.expected("a name")),
        }
    }

    fn bytes(&mut self) -> Result<u32, String> {
        match self.number()? {
            bytes @ (1 | 2 | 4 | 8 | 16) => Ok(bytes),
            _ => Err(self.expected("a size of 1, 2, 4, 8 or 16")),
        }
    }

    fn shape(&mut self, depth: usize) -> Result<Shape, String> {
        if depth > MAX_DEPTH {
            return Err(self.expected("a type that is nested less deeply"));
        }
        let depth = depth.saturating_add(1);
        Ok(match self.letter() {
            Some(b'v') => Shape::Void,
            Some(letter @ (b'i' | b'u')) => Shape::Int {
                bytes: self.bytes()?,
                signed: letter == b'i',
            },
            Some(b'b') => Shape::Bool {
                bytes: self.bytes()?,
            },
            Some(b'f') => Shape::Float {
                bytes: self.bytes()?,
            },
            Some(b'*') => Shape::Pointer(Box::new(self.shape(depth)?)),
            Some(b'[') => {
                let len = self.number()?;
                if self.letter() != Some(b']') {
                    return Err(self.expected("`]`"));
                }
                let element = Box::new(self.shape(depth)?);
                Shape::Array { len, element }
            }
            Some(letter @ (b's' | b'n' | b't' | b'y')) => Shape::Composite(Name {
                union: matches!(letter, b'n' | b'y'),
                typedef: matches!(letter, b't' | b'y'),
                name: self.name(b';')?,
                tag: None,
            }),
            Some(letter @ (b'S' | b'N' | b'T' | b'Y')) => {
                let name = self.name(b'@')?;
                let tag = Some(self.number()?);
                if self.letter() != Some(b';') {
                    return Err(self.expected("`;`"));
                }
                Shape::Composite(Name {
                    union: matches!(letter, b'N' | b'Y'),
                    typedef: matches!(letter, b'T' | b'Y'),
                    name,
                    tag,
                })
            }
            Some(b'(') => {
                let returns = Box::new(self.shape(depth)?);
                let mut takes = Vec::new();
                while !self.rest().starts_with(')') {
                    takes.push(self.shape(depth)?);
                }
                self.letter();
                Shape::Function { returns, takes }
            }
            Some(b'l') => Shape::Local(self.name(b';')?),
            Some(letter @ (b'e' | b'E')) => Shape::Enum {
                bytes: self.bytes()?,
                signed: letter == b'E',
                name: self.name(b';')?,
            },
            _ => return Err(self.expected("a type")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_through_types() {
        let access = Access::parse(b"stask_struct;.se=ssched_entity;.x=[4]*nu;#3").unwrap();
        let composite = |union, name: &str| {
            Shape::Composite(Name {
                union,
                typedef: false,
                name: name.into(),
                tag: None,
            })
        };
        assert_eq!(access.root, composite(false, "task_struct"));
        let field = |name: &str, shape| Step::Field {
            name: name.into(),
            shape,
        };
        let element = Box::new(Shape::Pointer(Box::new(composite(true, "u"))));
        assert_eq!(
            access.steps,
            [
                field("se", composite(false, "sched_entity")),
                field("x", Shape::Array { len: 4, element }),
                Step::Element(3),
            ]
        );
    }

    #[test]
    fn what_is_no_text() {
        for text in [
            "",
            "x",
            "i3",
            "i",
            "s",
            "s;",
            "sa",
            "sa b;",
            "[4",
            "[]i4",
            "*",
            "sa;.",
            "sa;.b",
            "sa;.b=",
            "sa;#",
            "sa;#x",
            "e4a;:A",
            "e4a;:A=",
            "sä;",
            "Sa;",
            "Sa@;",
            "sa;ä",
            "[99999999999]i4",
            "*(i4",
            "*()",
            "*(v*v",
        ] {
            assert!(Access::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "*".repeat(1000);
        assert!(Access::parse(deep.as_bytes()).is_err());
        assert!(Access::parse(b"\xff").is_err());
    }
}
