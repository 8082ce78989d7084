//! Which of several definitions a name means: strong before weak, then the first; and whether all
//! that use the name mean the same by it.

use std::collections::BTreeMap;

use skep_btf::TypeId;

use super::{
    compare::{self, MAPS, Side, Steps},
    input::{Declaration, Declarations, Input},
    sections::Sections,
};
use crate::{
    Error, Result,
    elf::{Symbol, SymbolHome, SymbolKind},
    externs::{KCONFIG, KSYMS},
};

/// The symbols of the result.
#[derive(Debug, Default)]
pub(crate) struct Symbols<'a> {
    pub(crate) locals: Vec<OutSymbol<'a>>,
    pub(crate) globals: Vec<Global<'a>>,
    by_name: BTreeMap<&'a str, usize>,
    /// By file and symbol.
    keys: Vec<Vec<Option<Key>>>,
}

/// A symbol of the result, before the table is in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The symbol of a section, by [`Sections::list`].
    Section(usize),
    /// One of [`Symbols::locals`].
    Local(usize),
    /// One of [`Symbols::globals`].
    Global(usize),
}

/// What the table says of a symbol.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OutSymbol<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: SymbolKind,
    /// Which of [`Sections::list`]; `None` for one that is not defined.
    pub(crate) section: Option<usize>,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

/// A name that all files see.
#[derive(Debug)]
pub(crate) struct Global<'a> {
    pub(crate) symbol: OutSymbol<'a>,
    pub(crate) weak: bool,
    pub(crate) hidden: bool,
    /// The file whose definition, or declaration if there is none, it is.
    pub(crate) input: usize,
    /// Its type there.
    pub(crate) type_id: Option<TypeId>,
    /// All that define or declare it, by file and symbol.
    pub(crate) uses: Vec<(usize, usize)>,
}

impl<'a> Symbols<'a> {
    /// What became of a file's symbol; `None` for one that was left out with its section.
    pub(super) fn key(&self, input: usize, symbol: usize) -> Option<Key> {
        *self.keys.get(input)?.get(symbol)?
    }

    /// The name that all files see.
    pub(super) fn global(&self, name: &str) -> Option<&Global<'a>> {
        self.globals.get(*self.by_name.get(name)?)
    }
}

pub(super) fn resolve<'a>(inputs: &'a [Input<'_>], sections: &Sections<'_>) -> Result<Symbols<'a>> {
    let mut symbols = Symbols::default();
    for (index, input) in inputs.iter().enumerate() {
        let mut keys = Vec::with_capacity(input.elf.symbols.len());
        for (symbol_index, symbol) in input.elf.symbols.iter().enumerate() {
            let found = read(index, input, symbol, sections)?;
            keys.push(match found {
                Found::Nothing => None,
                Found::Section(section) => Some(Key::Section(section)),
                Found::Symbol(out) if symbol.local => {
                    symbols.locals.push(out);
                    Some(Key::Local(symbols.locals.len().saturating_sub(1)))
                }
                Found::Symbol(out) => Some(Key::Global(symbols.add(
                    inputs,
                    (index, symbol_index),
                    symbol,
                    out,
                )?)),
            });
        }
        symbols.keys.push(keys);
    }
    let declarations: Vec<_> = inputs.iter().map(Declarations::of).collect();
    let mut steps = Steps::default();
    for global in &mut symbols.globals {
        global.choose_declaration(&declarations);
        global.agree(inputs, &declarations, &mut steps)?;
    }
    Ok(symbols)
}

/// What a file's symbol is to the result.
enum Found<'a> {
    /// It names nothing that is kept.
    Nothing,
    Section(usize),
    Symbol(OutSymbol<'a>),
}

fn read<'a>(
    index: usize,
    input: &'a Input<'_>,
    symbol: &'a Symbol<'_>,
    sections: &Sections<'_>,
) -> Result<Found<'a>> {
    let out = OutSymbol {
        name: symbol.name,
        kind: symbol.kind,
        section: None,
        value: 0,
        size: symbol.size,
    };
    let home = match symbol.home {
        SymbolHome::Section(home) => home,
        // The null symbol, and names of source files.
        _ if symbol.local => return Ok(Found::Nothing),
        SymbolHome::Undefined if symbol.name.is_empty() => {
            return Err(input.symbol_error(symbol, "a global symbol without a name"));
        }
        SymbolHome::Undefined => return Ok(Found::Symbol(OutSymbol { size: 0, ..out })),
        SymbolHome::Other => {
            return Err(input.symbol_error(
                symbol,
                "it is absolute or common, which BPF loaders don't know: compile with -fno-common",
            ));
        }
    };
    let Some(placed) = sections.placed(index, home) else {
        return Ok(Found::Nothing);
    };
    let size = input
        .elf
        .sections
        .get(home)
        .map_or(0, |section| section.size);
    if symbol
        .value
        .checked_add(symbol.size)
        .is_none_or(|end| end > size)
    {
        return Err(input.symbol_error(
            symbol,
            format!(
                "{:#x} bytes at {:#x} reach beyond its section of {size:#x} bytes",
                symbol.size, symbol.value
            ),
        ));
    }
    Ok(match symbol.kind {
        // What the other file's section says is what this one's would.
        _ if placed.shared => Found::Nothing,
        SymbolKind::Section => Found::Section(placed.section),
        _ => Found::Symbol(OutSymbol {
            section: Some(placed.section),
            value: placed.offset.saturating_add(symbol.value),
            ..out
        }),
    })
}

impl<'a> Symbols<'a> {
    /// Adds a definition or declaration of a name that all files see.
    fn add(
        &mut self,
        inputs: &[Input<'_>],
        place: (usize, usize),
        symbol: &Symbol<'_>,
        out: OutSymbol<'a>,
    ) -> Result<usize> {
        let new = Global {
            symbol: out,
            weak: symbol.weak,
            hidden: symbol.hidden,
            input: place.0,
            type_id: None,
            uses: vec![place],
        };
        let at = *self.by_name.entry(out.name).or_insert(self.globals.len());
        let Some(known) = self.globals.get_mut(at) else {
            self.globals.push(new);
            return Ok(at);
        };
        known.uses.push(place);
        known.hidden |= symbol.hidden;
        let is_defined = |symbol: &OutSymbol<'_>| symbol.section.is_some();
        match (is_defined(&known.symbol), is_defined(&out)) {
            (true, true) if !known.weak && !symbol.weak => {
                let first = known.definition(inputs);
                let second = inputs.get(place.0).map(|input| input.place_of(symbol));
                return Err(Error::DefinedTwice {
                    symbol: out.name.to_owned(),
                    first: Box::new(first.unwrap_or_default()),
                    second: Box::new(second.unwrap_or_default()),
                });
            }
            (true, true) if symbol.weak => {}
            (_, true) => {
                known.symbol = out;
                known.weak = symbol.weak;
                known.input = place.0;
            }
            // One that needs it is enough for all.
            (false, false) => known.weak &= symbol.weak,
            (true, false) => {}
        }
        Ok(at)
    }
}

impl Global<'_> {
    fn is_defined(&self) -> bool {
        self.symbol.section.is_some()
    }

    /// Where the definition is that was chosen.
    fn definition(&self, inputs: &[Input<'_>]) -> Option<crate::SymbolPlace> {
        let used = self.uses.iter().filter(|(input, _)| *input == self.input);
        used.filter_map(|(input, symbol)| {
            let input = inputs.get(*input)?;
            Some(input.place_of(input.elf.symbols.get(*symbol)?))
        })
        .next()
    }

    /// The type of the definition; of externs the one that says most: that is found in a section,
    /// or that has a type at all.
    fn choose_declaration(&mut self, declarations: &[Declarations<'_>]) {
        let declared = |input: usize| declarations.get(input)?.find(self.symbol.name);
        if !self.is_defined() {
            let rank = |input: usize| match declared(input) {
                Some(Declaration {
                    section: Some(_), ..
                }) => 2,
                Some(_) => 1,
                None => 0,
            };
            let best = self.uses.iter().map(|(input, _)| *input);
            // The first of the best: `max_by_key` would take the last.
            let best = best.rev().max_by_key(|input| rank(*input));
            let input = best.unwrap_or(self.input);
            (self.input, self.type_id) = (input, declared(input).map(|one| one.type_id));
        } else {
            self.type_id = declared(self.input).map(|one| one.type_id);
        }
    }

    /// Whether all that define or declare the name mean what was chosen.
    fn agree(
        &self,
        inputs: &[Input<'_>],
        declarations: &[Declarations<'_>],
        steps: &mut Steps,
    ) -> Result<()> {
        let name = self.symbol.name;
        let side = |index: usize| {
            let input = inputs.get(index)?;
            let declared = declarations.get(index)?.find(name)?;
            Some(Side {
                btf: input.btf.as_deref()?,
                type_id: declared.type_id,
                section: declared.section,
            })
        };
        let chosen = side(self.input);
        for (input, symbol) in &self.uses {
            if *input == self.input {
                continue;
            }
            let Some(found) = inputs
                .get(*input)
                .and_then(|one| one.elf.symbols.get(*symbol))
            else {
                continue;
            };
            let mut problem = differing_kinds(self.symbol.kind, found.kind);
            if let (None, Some(chosen), Some(other)) = (&problem, &chosen, side(*input)) {
                problem = differing_sections(chosen.section, other.section);
                if problem.is_none() {
                    problem = compare::difference(name, chosen, &other, steps);
                }
            }
            if let Some(problem) = problem {
                let place = |index: usize, symbol: &Symbol<'_>| {
                    inputs.get(index).map(|input| input.place_of(symbol))
                };
                return Err(Error::Declarations {
                    symbol: name.to_owned(),
                    first: Box::new(self.definition(inputs).unwrap_or_default()),
                    second: Box::new(place(*input, found).unwrap_or_default()),
                    problem,
                });
            }
        }
        Ok(())
    }
}

/// Externs have no kind in the symbol table.
fn differing_kinds(first: SymbolKind, second: SymbolKind) -> Option<String> {
    let called = |kind| match kind {
        SymbolKind::Function => Some("a function"),
        SymbolKind::Object => Some("a variable"),
        SymbolKind::Section | SymbolKind::Other => None,
    };
    let (first, second) = (called(first)?, called(second)?);
    (first != second).then(|| format!("{first} in the first, {second} in the second"))
}

/// Where a name is to be found is part of what it means.
fn differing_sections(first: Option<&str>, second: Option<&str>) -> Option<String> {
    let means = |section: Option<&str>| match section {
        Some(MAPS) => "a map (SEC(\".maps\"))",
        Some(KCONFIG) => "a value of the kernel's configuration (__kconfig)",
        Some(KSYMS) => "a symbol of the kernel (__ksym)",
        _ => "a function or variable of an object",
    };
    // What an object defines may stand for what others would take from the kernel: a `__ksym`.
    let differ = [MAPS, KCONFIG]
        .iter()
        .any(|one| (first == Some(one)) != (second == Some(one)));
    let (first, second) = (means(first), means(second));
    differ.then(|| format!("{first} in the first, {second} in the second"))
}
