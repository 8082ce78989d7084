//! Linking in the sense of `ld -r`: several BPF objects become one, before any machine is known.
//! [`StaticLinker`] is the way in; the files follow its steps: `input`, `sections`, `symbols` (with
//! `compare`), `relocations`, `types`, `output`.

mod compare;
mod input;
pub(crate) mod output;
mod relocations;
pub(crate) mod sections;
pub(crate) mod symbols;
pub(crate) mod types;

use crate::{Error, Result};
use input::Input;

/// Makes one BPF object of several, as `bpftool gen object` and libbpf's linker do.
///
/// This is the linker of object files: bytes in, bytes out, and nothing of a kernel in it. What
/// makes an object ready for a kernel is [`Object::link`](crate::Object::link), which wants one
/// whole object; programs made of several sources come here first.
///
/// ```no_run
/// use skep_object::{Object, StaticLinker};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (main, library) = (std::fs::read("main.bpf.o")?, std::fs::read("library.bpf.o")?);
/// let mut linker = StaticLinker::new();
/// linker.add("main.bpf.o", &main)?.add("library.bpf.o", &library)?;
/// let object = Object::parse(&linker.finish()?)?;
/// # Ok(())
/// # }
/// ```
///
/// # What becomes of what
/// - **Sections** of one name are put one behind the other in the order of the files, each at its
///   alignment. `license` and `version` must say the same in all files that have them. Debug
///   information is left out, BTF is kept.
/// - **Symbols**: a global name may be defined once; of a `__weak` one a strong definition wins, else
///   the first. The code of a function that lost stays where it is, without a name, and no loader
///   takes it along. Static symbols stay apart, whatever their names. A name that one file hides is
///   hidden in the result.
/// - **Externs** are resolved by definitions in other files: functions, variables, maps
///   (`extern struct { … } m SEC(".maps")`). What stays undefined stays an extern, of `.ksyms` and
///   `.kconfig` as well. Declarations and definitions must agree by their types in BTF: structures by
///   their members, but only by their names behind pointers; a map's by all that defines it. Names
///   and tags that only compilers see (typedefs, `const`) don't matter, nor do names of integers.
/// - **BTF** is put together and deduplicated; the data sections of one name become one.
///   `.BTF.ext` follows: function and line records, CO-RE relocations.
///
/// One file alone is linked as well: that deduplicates its BTF and drops its debug information.
/// Linking in steps means the same as at once, and linking a result again changes nothing. The same
/// input gives the same bytes on every machine.
#[derive(Debug, Default)]
pub struct StaticLinker<'data> {
    inputs: Vec<Input<'data>>,
}

impl<'data> StaticLinker<'data> {
    /// A linker without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object. `name` is what errors call it: the file's name.
    ///
    /// # Errors
    /// [`Error::InFile`] with what keeps the bytes from being a BPF object that can be linked, and
    /// [`Error::Inputs`] for one of another byte order than those before.
    pub fn add(&mut self, name: impl Into<String>, bytes: &'data [u8]) -> Result<&mut Self> {
        let name = name.into();
        let input = Input::parse(&name, bytes).map_err(|error| error.in_file(&name))?;
        if let Some(first) = self
            .inputs
            .first()
            .filter(|first| first.elf.endian != input.elf.endian)
        {
            return Err(Error::Inputs {
                first: first.name.clone(),
                second: name,
                problem: "their byte orders differ: compile both with -target bpfel, or both with \
                          -target bpfeb"
                    .into(),
            });
        }
        self.inputs.push(input);
        Ok(self)
    }

    /// Links what was added, and gives the bytes of an ELF file.
    ///
    /// # Errors
    /// [`Error::NothingToLink`] without objects; [`Error::DefinedTwice`], [`Error::Declarations`] and
    /// [`Error::Inputs`] where objects contradict each other; [`Error::InFile`] for what is wrong
    /// within one; [`Error::Budget`] for what does not fit an object.
    pub fn finish(&self) -> Result<Vec<u8>> {
        let Some(first) = self.inputs.first() else {
            return Err(Error::NothingToLink);
        };
        let inputs = self.inputs.as_slice();
        let mut sections = sections::merge(inputs)?;
        let symbols = symbols::resolve(inputs, &sections)?;
        relocations::rebase(inputs, &mut sections, &symbols)?;
        let types = types::merge(inputs, &sections, &symbols)?;
        output::write(first.elf.endian, &sections, &symbols, &types)
    }
}
