//! What programs declare to be the kernel's becomes what clang makes of it: undefined symbols, whose
//! types are in the BTF, in the sections `.ksyms` and `.kconfig`, which are only there.
//!
//! `skep_ebpf::external` says what a record is.

use std::collections::BTreeMap;

use skep_btf::{FunctionLinkage, NewType, SectionEntry, TypeId, VariableLinkage};
use skep_object::{Binding, Error, ObjectFile, Place, Result};

use super::{
    layout::{Layout, Type},
    shape::Shape,
    written::Written,
};

/// Where the records are.
const SECTION: &str = ".skep.extern";

/// What the kernel is to provide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declaration {
    /// Where its record is, for errors.
    at: u64,
    weak: bool,
    of: Of<Shape>,
}

/// Of what kind, with its types.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of<T> {
    Function {
        returns: T,
        /// With their names.
        takes: Vec<(String, T)>,
    },
    Variable(T),
    Configuration(T),
}

impl<T> Of<T> {
    fn try_map<U, E>(&self, mut to: impl FnMut(&T) -> Result<U, E>) -> Result<Of<U>, E> {
        Ok(match self {
            Self::Function { returns, takes } => Of::Function {
                returns: to(returns)?,
                takes: takes
                    .iter()
                    .map(|(name, of)| Ok((name.clone(), to(of)?)))
                    .collect::<Result<_, E>>()?,
            },
            Self::Variable(of) => Of::Variable(to(of)?),
            Self::Configuration(of) => Of::Configuration(to(of)?),
        })
    }
}

fn malformed(at: u64, problem: impl Into<String>) -> Error {
    Error::Malformed {
        place: Place {
            section: SECTION.to_owned(),
            offset: at,
        },
        problem: problem.into(),
    }
}

/// What is declared and used, by name. Whatever a crate declares leaves its record, used or not.
pub(super) fn read(file: &ObjectFile) -> Result<BTreeMap<String, Declaration>> {
    let mut found: BTreeMap<String, Declaration> = BTreeMap::new();
    for section in file.sections.iter().filter(|found| found.name == SECTION) {
        let mut texts = Texts {
            bytes: &section.data,
            at: 0,
        };
        while texts.at < section.data.len() {
            let (name, declaration) = texts.declaration()?;
            let symbol = file.symbol(name);
            if symbol.is_none_or(|(_, symbol)| symbol.section.is_some()) {
                continue;
            }
            let Some(known) = found.get_mut(name) else {
                found.insert(name.to_owned(), declaration);
                continue;
            };
            // Who can't do without it decides.
            known.weak &= declaration.weak;
            if known.of != declaration.of {
                let problem = format!("`{name}` is declared twice, with different types");
                return Err(malformed(declaration.at, problem));
            }
        }
    }
    Ok(found)
}

/// Texts, each of which ends with a zero byte.
struct Texts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Texts<'a> {
    fn next(&mut self) -> Result<&'a str> {
        let place = self.at as u64;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0);
        let text = end.and_then(|end| rest.get(..end));
        let text = text.ok_or_else(|| malformed(place, "the section ends within a record"))?;
        self.at = self.at.saturating_add(text.len()).saturating_add(1);
        str::from_utf8(text).map_err(|_| malformed(place, "a text that is no UTF-8"))
    }

    fn shape(&mut self) -> Result<Shape> {
        let place = self.at as u64;
        Shape::parse(self.next()?).map_err(|problem| malformed(place, problem))
    }

    fn declaration(&mut self) -> Result<(&'a str, Declaration)> {
        let at = self.at as u64;
        let kind = self.next()?;
        let weak = match self.next()? {
            "weak" => true,
            "" => false,
            other => return Err(malformed(at, format!("expected `weak`, not `{other}`"))),
        };
        let name = self.next()?;
        let of = self.shape()?;
        let of = match kind {
            "kfunc" => {
                let mut takes = Vec::new();
                loop {
                    match self.next()? {
                        "" => break,
                        parameter => takes.push((parameter.to_owned(), self.shape()?)),
                    }
                }
                let returns = of;
                Of::Function { returns, takes }
            }
            "ksym" | "kconfig" => {
                if !self.next()?.is_empty() {
                    return Err(malformed(at, "a variable has one type"));
                }
                match kind {
                    "ksym" => Of::Variable(of),
                    _ => Of::Configuration(of),
                }
            }
            other => return Err(malformed(at, format!("`{other}` can't be the kernel's"))),
        };
        Ok((name, Declaration { at, weak, of }))
    }
}

/// A declaration whose types are in the layout.
pub(super) struct Placed {
    at: u64,
    name: String,
    weak: bool,
    of: Of<Type>,
    /// Bytes of a variable, once its type is laid out.
    bytes: u32,
}

/// Puts the types of declarations into the layout.
pub(super) fn place(
    declarations: BTreeMap<String, Declaration>,
    layout: &mut Layout,
) -> Result<Vec<Placed>> {
    let mut placed = Vec::with_capacity(declarations.len());
    for (name, Declaration { at, weak, of }) in declarations {
        let of = of.try_map(|shape| match shape {
            Shape::Local(_) => Err(malformed(at, "a type that the kernel does not know")),
            shape => Ok(layout.whole(shape)),
        })?;
        if let Of::Function { takes, .. } = &of
            && let Some((parameter, _)) = takes.iter().find(|(_, of)| *of == Type::Void)
        {
            let problem = format!("parameter `{parameter}` of `{name}` has a type of no size");
            return Err(malformed(at, problem));
        }
        placed.push(Placed {
            at,
            name,
            weak,
            of,
            bytes: 0,
        });
    }
    Ok(placed)
}

/// Takes the sizes of variables from the layout, which is done.
pub(super) fn measure(placed: &mut [Placed], layout: &mut Layout) -> Result<()> {
    for placed in placed {
        let (of, must) = match &placed.of {
            Of::Function { .. } => continue,
            Of::Variable(of) => (of, false),
            Of::Configuration(of) => (of, true),
        };
        let bytes = match of {
            Type::Void if !must => 0,
            of => layout
                .bytes(of)
                .map_err(|problem| malformed(placed.at, problem))?,
        };
        placed.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if must && bytes == 0 {
            let problem = format!("`{}` has a type of no size", placed.name);
            return Err(malformed(placed.at, problem));
        }
    }
    Ok(())
}

/// Writes the declarations; answers the symbols that may be missing.
pub(super) fn write(placed: &[Placed], written: &mut Written<'_>) -> Vec<String> {
    let (mut symbols, mut values) = (Vec::new(), Vec::new());
    for placed in placed {
        let name = placed.name.as_str();
        let type_id = match &placed.of {
            Of::Function { returns, takes } => {
                let returns = written.id(returns);
                let takes: Vec<(&str, TypeId)> = takes
                    .iter()
                    .map(|(name, of)| (name.as_str(), written.id(of)))
                    .collect();
                let builder = written.builder();
                let prototype = builder.prototype(returns, &takes);
                builder.function(name, prototype, FunctionLinkage::Extern)
            }
            Of::Variable(of) | Of::Configuration(of) => {
                let target = written.id(of);
                let builder = written.builder();
                // What has no type is `const void`, as variables can't be of nothing at all.
                let of = match target {
                    TypeId::VOID => builder.add(NewType::Const { target }),
                    of => of,
                };
                builder.variable(name, of, VariableLinkage::Extern)
            }
        };
        let entries = match placed.of {
            Of::Configuration(_) => &mut values,
            _ => &mut symbols,
        };
        entries.push(SectionEntry {
            type_id,
            // Nothing of it is in the file.
            offset: 0,
            size: placed.bytes,
        });
    }
    for (name, entries) in [(".ksyms", symbols), (".kconfig", values)] {
        if !entries.is_empty() {
            written.builder().add(NewType::DataSection {
                name,
                size: 0,
                entries: &entries,
            });
        }
    }
    let weak = placed.iter().filter(|placed| placed.weak);
    weak.map(|placed| placed.name.clone()).collect()
}

/// Lets symbols be missing.
pub(super) fn weaken(file: &mut ObjectFile, names: &[String]) {
    for symbol in &mut file.symbols {
        if symbol.section.is_none() && names.contains(&symbol.name) {
            symbol.binding = Binding::Weak;
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_btf::{Builder, Kind};
    use skep_isa::Endian;
    use skep_object::{FileSection, FileSymbol, SymbolKind};

    use super::*;

    /// An object with these records, which uses these symbols.
    fn file(records: &str, used: &[&str]) -> ObjectFile {
        let data = records.as_bytes().to_vec();
        let mut types = Builder::new();
        types.set_endianness(Endian::Little);
        ObjectFile {
            endian: Endian::Little,
            types,
            records: BTreeMap::default(),
            sections: vec![FileSection {
                name: SECTION.into(),
                align: 1,
                size: data.len() as u64,
                data,
                ..FileSection::default()
            }],
            symbols: used
                .iter()
                .map(|name| FileSymbol {
                    name: (*name).into(),
                    kind: SymbolKind::Other,
                    section: None,
                    value: 0,
                    size: 0,
                    binding: Binding::Global,
                    hidden: false,
                })
                .collect(),
        }
    }

    #[test]
    fn what_is_used_is_declared() {
        let records = "kfunc\0weak\0bpf_look\0b1\0task\0*stask_struct;\0call\0*(i4*v)\0\0\
                       ksym\0\0init_task\0stask_struct;\0\0\
                       ksym\0\0unused\0i4\0\0\
                       ksym\0\0anything\0v\0\0\
                       kconfig\0\0CONFIG_HZ\0u4\0\0";
        let mut file = file(records, &["bpf_look", "init_task", "anything", "CONFIG_HZ"]);
        super::super::run(&mut file).unwrap();
        let btf = file.btf().unwrap();
        let section = |name: &str| {
            let found = btf.types().find(|found| found.name() == name).unwrap();
            let Kind::DataSection(section) = found.kind() else {
                panic!("a section")
            };
            section
                .entries()
                .map(|entry| (btf.declaration(entry.type_id).unwrap(), entry.size))
                .collect::<Vec<_>>()
        };
        let declared = |text: &str, size| (text.to_owned(), size);
        assert_eq!(
            section(".ksyms"),
            [
                declared("const void anything;", 0),
                declared(
                    "_Bool bpf_look(struct task_struct *task, int (*call)(void *));",
                    0
                ),
                declared("struct task_struct init_task;", 0),
            ]
        );
        assert_eq!(
            section(".kconfig"),
            [declared("unsigned int CONFIG_HZ;", 4)]
        );
        let (_, weak) = file.symbol("bpf_look").unwrap();
        let (_, strong) = file.symbol("init_task").unwrap();
        let bindings = (weak.binding, strong.binding);
        assert_eq!(bindings, (Binding::Weak, Binding::Global));
    }

    #[test]
    fn what_is_no_declaration_is_refused() {
        for (records, part) in [
            ("kfunc\0", "ends within a record"),
            ("kfunc\0maybe\0f\0v\0\0", "`maybe`"),
            ("thing\0\0f\0v\0\0", "`thing`"),
            ("ksym\0\0f\0x\0\0", "expected a type"),
            ("ksym\0\0f\0i4i4\0\0", "expected the end"),
            ("ksym\0\0f\0i4\0more\0i4\0\0", "one type"),
            ("kfunc\0\0f\0v\0a\0v\0\0", "no size"),
            ("kconfig\0\0f\0v\0\0", "no size"),
            ("ksym\0\0f\0lOwn;\0\0", "does not know"),
            ("ksym\0\0f\0i4\0\0ksym\0\0f\0i8\0\0", "declared twice"),
        ] {
            let error = super::super::run(&mut file(records, &["f"])).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
