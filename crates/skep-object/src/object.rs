//! [`Object`]: what an ELF file says, read once and then only looked at.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use skep_btf::{Btf, Kind, KindTag, TypeId};
use skep_isa::Endian;

use crate::{
    Error, Extern, Function, FunctionIndex, JumpTable, Map, MapIndex, ParseOptions, Program,
    ProgramIndex, Result, Variable,
    data::{self, SectionLayout},
    elf::Elf,
    ext, externs, functions,
    jump_tables::JumpTables,
    legacy_maps, maps, order, references, struct_ops,
};

/// A BPF object: programs, maps, variables, as the compiler wrote them.
///
/// ```no_run
/// use skep_object::Object;
/// let object = Object::open("opensnoop.bpf.o")?;
/// for program in object.programs() {
///     println!("{} in {}", program.name, program.section);
/// }
/// # Ok::<(), skep_object::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Object {
    pub(crate) name: String,
    file: Option<String>,
    pub(crate) endian: Endian,
    pub(crate) license: String,
    pub(crate) version: Option<u32>,
    pub(crate) functions: Vec<Function>,
    pub(crate) programs: Vec<Program>,
    pub(crate) maps: Vec<Map>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) externs: Vec<Extern>,
    pub(crate) jump_tables: Vec<JumpTable>,
    pub(crate) btf: Option<Arc<Btf>>,
    /// Sizes and offsets that the compiler left for the loader to fill into the BTF.
    pub(crate) layouts: Vec<SectionLayout>,
    /// The map of `.kconfig` and where in it each extern's value is.
    pub(crate) kconfig: Option<externs::KconfigLayout>,
    map_names: BTreeMap<String, MapIndex>,
    variable_names: BTreeMap<String, usize>,
}

/// The section of types.
pub(crate) const BTF: &str = ".BTF";

/// Most bytes that a file may have: a device or a pipe may never end.
const MOST: u64 = 256 << 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path)?
        .take(MOST + 1)
        .read_to_end(&mut bytes)?;
    match read as u64 > MOST {
        true => Err(io::Error::other(
            "it has more than 256 MiB, as no object has",
        )),
        false => Ok(bytes),
    }
}

impl Object {
    /// Reads a file. The object is named after it: `opensnoop` for `dir/opensnoop.bpf.o`.
    ///
    /// # Errors
    /// [`Error::Io`], and all of [`Object::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        let name = name.split('.').next().unwrap_or_default();
        let options = ParseOptions::new(name).file(path.display().to_string());
        Self::parse_with(&bytes, &options)
    }

    /// Reads the bytes of an ELF file, under the name `object`.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being a BPF object, with its place.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::parse_named(bytes, "object")
    }

    /// Reads the bytes of an ELF file under a name, which the names of its maps of global data
    /// start with.
    ///
    /// # Errors
    /// As [`Object::parse`].
    pub fn parse_named(bytes: &[u8], name: &str) -> Result<Self> {
        Self::parse_with(bytes, &ParseOptions::new(name))
    }

    /// Reads the bytes of an ELF file with a name and with handlers for sections of the caller's
    /// own names.
    ///
    /// # Errors
    /// As [`Object::parse`].
    pub fn parse_with(bytes: &[u8], options: &ParseOptions) -> Result<Self> {
        Self::read(bytes, options).map_err(|error| blame(options.file.as_deref(), error))
    }

    fn read(bytes: &[u8], options: &ParseOptions) -> Result<Self> {
        let name = options.name.as_str();
        let elf = Elf::parse(bytes)?;
        let btf = read_btf(&elf)?;
        let records = match (elf.section(ext::SECTION), &btf) {
            (Some((_, section)), Some(btf)) => ext::parse(section.data, elf.endian, btf)?,
            _ => ext::Records::new(),
        };
        let layouts = btf
            .as_deref()
            .map_or(Ok(Vec::new()), |btf| data::layouts(&elf, btf))?;

        let (mut functions, starts) = functions::read(&elf, btf.as_deref(), &records)?;
        let mut programs = functions::programs(&functions, &options.handlers)?;
        let mut maps = maps::read(&elf, btf.as_deref(), &layouts)?;
        legacy_maps::read(&elf, btf.as_deref(), &mut maps)?;
        let mut externs = externs::read(&elf, btf.as_deref(), &layouts)?;
        let by_function = programs.iter().enumerate();
        let by_function: BTreeMap<FunctionIndex, ProgramIndex> = order::map(
            by_function.map(|(index, program)| (program.function, ProgramIndex::from_usize(index))),
        );
        maps::fill_slots(&elf, &mut maps, &by_function, &starts)?;
        struct_ops::read(
            &elf,
            btf.as_deref(),
            &layouts,
            &by_function,
            &starts,
            &mut maps.list,
        )?;
        let data = data::read(&elf, btf.as_deref(), &layouts, name, &mut maps.list)?;
        let kconfig = externs.kconfig(btf.as_deref(), &layouts, name, &mut maps.list)?;
        let things = references::Things {
            functions: &starts,
            maps: &maps.places,
            data: &data.places,
        };
        let mut jump_tables = JumpTables::default();
        references::read(
            &elf,
            &mut functions,
            &things,
            &mut externs,
            &mut jump_tables,
        )?;
        functions::reach(&mut programs, &functions, btf.as_deref())?;

        let mut map_names = BTreeMap::new();
        for (index, map) in maps.list.iter().enumerate() {
            if map_names
                .insert(map.name.clone(), MapIndex::from_usize(index))
                .is_some()
            {
                let problem = "it is defined twice".into();
                return Err(Error::MapDefinition {
                    map: map.name.clone(),
                    problem,
                });
            }
        }
        let mut variable_names = BTreeMap::new();
        for (index, variable) in data.variables.iter().enumerate() {
            variable_names.entry(variable.name.clone()).or_insert(index);
        }
        Ok(Self {
            name: name.to_owned(),
            file: options.file.clone(),
            endian: elf.endian,
            license: read_license(&elf),
            version: read_version(&elf),
            functions,
            programs,
            maps: maps.list,
            variables: data.variables,
            externs: externs.list,
            jump_tables: jump_tables.list,
            btf,
            layouts,
            kconfig,
            map_names,
            variable_names,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What errors call the file that it is of, where that is known: see [`ParseOptions::file`].
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// An error of this object, with the name of its file where that is known.
    #[must_use]
    pub fn blame(&self, error: Error) -> Error {
        blame(self.file(), error)
    }

    /// The byte order of the machines that it is for.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Its licence (section `license`); empty if it has none, and then no GPL-only helper works.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// The kernel version that it names (section `version`), as `LINUX_VERSION_CODE`. Only
    /// kernels before 5.0 ask for it, of kprobes.
    pub fn kernel_version_code(&self) -> Option<u32> {
        self.version
    }

    /// Its programs, in the order of the file.
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The program with this name.
    pub fn program(&self, name: &str) -> Option<&Program> {
        self.programs.iter().find(|program| program.name == name)
    }

    /// The program at an index of this object.
    pub fn program_at(&self, index: ProgramIndex) -> Option<&Program> {
        self.programs.get(index.as_usize())
    }

    /// Its functions: those of programs and others.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The function at an index of this object.
    pub fn function(&self, index: FunctionIndex) -> Option<&Function> {
        self.functions.get(index.as_usize())
    }

    /// Its maps, those of global data last.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The map with this name.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.maps.get(self.map_index(name)?.as_usize())
    }

    /// The place of the map with this name.
    pub fn map_index(&self, name: &str) -> Option<MapIndex> {
        self.map_names.get(name).copied()
    }

    /// Its global variables, by section and offset.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The variable with this name; of several static ones the first.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(*self.variable_names.get(name)?)
    }

    /// The bytes that a variable starts with; `None` for one of `.bss`, which are all zero.
    pub fn initial_value(&self, variable: &Variable) -> Option<&[u8]> {
        let map = self.maps.get(variable.map.as_usize())?;
        let data = map.contents.bytes()?;
        let start = usize::try_from(variable.offset).ok()?;
        let end = start.checked_add(usize::try_from(variable.size).ok()?)?;
        data.get(start..end)
    }

    /// What the target must provide.
    pub fn externs(&self) -> &[Extern] {
        &self.externs
    }

    /// Its jump tables.
    pub fn jump_tables(&self) -> &[JumpTable] {
        &self.jump_tables
    }

    /// Its types; `None` if it was compiled without `-g`.
    pub fn btf(&self) -> Option<&Arc<Btf>> {
        self.btf.as_ref()
    }

    /// The type of a map's values: of an event, for ring and perf buffers.
    pub fn value_type(&self, map: &str) -> Option<TypeId> {
        self.map(map)?.value_type
    }

    /// The type of the records of a ring or perf buffer: that of its values where it is a structure,
    /// or else what a tag names (`SKEP_EVENT` of `skep.h`, `#[map(event = …)]` in Rust).
    pub fn record_type(&self, map: &str) -> Option<TypeId> {
        let btf = self.btf.as_deref()?;
        let is_record = |id: &TypeId| {
            let found = btf.skip_modifiers(*id);
            *id != TypeId::VOID
                && found.is_ok_and(|found| matches!(found.kind(), Kind::Struct(_) | Kind::Union(_)))
        };
        let tagged = || {
            self.decl_tags_of_map(map).into_iter().find_map(|tag| {
                let name = tag.strip_prefix("skep:event=")?;
                let name = name.strip_prefix("struct ").unwrap_or(name);
                let found = btf.find(name, KindTag::Struct);
                found.or_else(|| btf.find(name, KindTag::Typedef))
            })
        };
        self.value_type(map).filter(is_record).or_else(tagged)
    }

    /// The type of a map's keys.
    pub fn key_type(&self, map: &str) -> Option<TypeId> {
        self.map(map)?.key_type
    }

    /// The tags on a map's variable (`__attribute__((btf_decl_tag("…")))`), in their order.
    pub fn decl_tags_of_map(&self, map: &str) -> Vec<&str> {
        self.decl_tags(self.map(map).and_then(|map| map.variable))
    }

    /// The tags on a global variable, in their order.
    pub fn decl_tags_of_variable(&self, variable: &str) -> Vec<&str> {
        let Some(btf) = &self.btf else {
            return Vec::new();
        };
        self.decl_tags(btf.find(variable, KindTag::Variable))
    }

    fn decl_tags(&self, target: Option<TypeId>) -> Vec<&str> {
        match (&self.btf, target) {
            (Some(btf), Some(target)) => btf.decl_tags(target, None).collect(),
            _ => Vec::new(),
        }
    }
}

fn blame(file: Option<&str>, error: Error) -> Error {
    match file {
        Some(file) => error.in_file(file),
        None => error,
    }
}

pub(crate) fn read_btf(elf: &Elf<'_>) -> Result<Option<Arc<Btf>>> {
    let Some((_, section)) = elf.section(BTF) else {
        return Ok(None);
    };
    let mut btf = Btf::parse(section.data.to_vec())?;
    if btf.endianness() != elf.endian {
        return Err(section.malformed(0, "its byte order is not that of the file"));
    }
    // The types of programs: a pointer is 8 bytes on every machine.
    btf.set_pointer_size(8);
    Ok(Some(Arc::new(btf)))
}

fn read_license(elf: &Elf<'_>) -> String {
    let bytes = elf
        .section("license")
        .map_or(&[][..], |(_, section)| section.data);
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn read_version(elf: &Elf<'_>) -> Option<u32> {
    let bytes = elf.section("version")?.1.data.first_chunk::<4>()?;
    Some(match elf.endian {
        Endian::Little => u32::from_le_bytes(*bytes),
        Endian::Big => u32::from_be_bytes(*bytes),
    })
}
