//! An object with the user's choices: which programs, how large the maps, what the globals
//! start with. Pure until it is loaded.

use std::{path::Path, sync::Arc};

use skep_btf::Btf;
use skep_object::{ExternKind, LinkOptions, MapOptions, ProgramOptions, Variable};
use zerocopy::{Immutable, IntoBytes};

use crate::{
    AttachOptions, BtfArchive, Error, Fallback, Host, Link, LoadOptions, Loaded, Map, Program,
    Result, TargetProgram,
    attach::Attachers,
    fallback::{Attempt, Forms, choose},
    load::Given,
    value,
};

/// A BPF object, opened, and the choices made for it.
///
/// ```no_run
/// use skep::{Host, Object};
///
/// let mut object = Object::open("opensnoop.bpf.o")?;
/// object.global("target_pid")?.set(812_i32)?;
/// object.map("events")?.max_entries(1 << 20);
/// let loaded = object.load(&Host::auto()?)?;
/// let _links = loaded.attach_all()?;
/// # Ok::<(), skep::Error>(())
/// ```
#[derive(Debug)]
pub struct Object {
    spec: skep_object::Object,
    options: LinkOptions,
    given: Given,
    /// Types to relocate by, in place of the host's.
    core_btf: Option<Arc<Btf>>,
    /// Types of kernels that may have none.
    archive: Option<BtfArchive>,
    /// Programs in several forms, beside those that the object tells.
    forms: Forms,
    /// What [`Object::settle`] chose.
    settled: Option<Vec<Fallback>>,
    attachers: Attachers,
}

impl Object {
    /// Opens an ELF object, such as clang makes. Needs no privileges.
    ///
    /// # Errors
    /// The file can't be read or is malformed; the error says where.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::from_spec(skep_object::Object::open(path)?))
    }

    /// The same from bytes in memory. `name` stands for the file's name in those of its data
    /// maps.
    ///
    /// # Errors
    /// The bytes are malformed; the error says where.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        Ok(Self::from_spec(skep_object::Object::parse_named(
            bytes, name,
        )?))
    }

    /// The same from what was parsed before.
    pub fn from_spec(spec: skep_object::Object) -> Self {
        Self {
            spec,
            options: LinkOptions::new(),
            given: Given::default(),
            core_btf: None,
            archive: None,
            forms: Forms::default(),
            settled: None,
            attachers: Attachers::default(),
        }
    }

    /// The same from bytes in memory, with a name and with handlers for sections of the caller's
    /// own names. [`attach_by`](Self::attach_by) says how programs of such names are attached.
    ///
    /// # Errors
    /// The bytes are malformed; the error says where.
    pub fn parse_with(bytes: &[u8], options: &skep_object::ParseOptions) -> Result<Self> {
        let spec = skep_object::Object::parse_with(bytes, options)?;
        Ok(Self::from_spec(spec))
    }

    /// What the object says, as data.
    pub fn spec(&self) -> &skep_object::Object {
        &self.spec
    }

    /// The choices for a program.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn program(&mut self, name: &str) -> Result<&mut ProgramOptions> {
        let known = || {
            self.spec
                .programs()
                .iter()
                .map(|program| program.name.as_str())
        };
        if known().any(|program| program == name) {
            return Ok(self.options.program(name));
        }
        Err(Error::unknown("program", name, known()))
    }

    /// Has programs whose section is of this name, before its target, attached by a function of
    /// the caller's: by [`Loaded::attach_all`], in place of what the name says.
    ///
    /// ```no_run
    /// use skep::{Object, abi::ProgramType, spec::{ParseOptions, SectionHandler, SectionHandlers}};
    ///
    /// let device = SectionHandler::new(ProgramType::Xdp);
    /// let handlers = SectionHandlers::new().prefix("on", device);
    /// let options = ParseOptions::new("filter").handlers(handlers);
    /// let mut object = Object::parse_with(&std::fs::read("filter.bpf.o")?, &options)?;
    /// // SEC("on/eth0")
    /// object.attach_by("on", |program, options| {
    ///     let name = program.target().unwrap_or("lo");
    ///     program.attach_to(&skep::boundary::AttachPoint::Xdp {
    ///         ifindex: program.host().device_index(name)?,
    ///         mode: options.xdp_mode,
    ///     })
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No program has a section of that name.
    #[doc(alias = "libbpf_register_prog_handler")]
    pub fn attach_by(
        &mut self,
        section: &str,
        attach: impl Fn(&Arc<Program>, &AttachOptions) -> Result<Link> + Send + Sync + 'static,
    ) -> Result<()> {
        let programs = self.spec.programs().iter();
        let mut known = programs.map(|program| program.section.name());
        if !known.clone().any(|name| name == section) {
            return Err(Error::unknown("section", section, &mut known));
        }
        self.attachers.insert(section, attach);
        Ok(())
    }

    /// Loads these programs and no others, whatever their sections say.
    ///
    /// # Errors
    /// There is no program of one of the names.
    pub fn only_programs(&mut self, names: &[&str]) -> Result<()> {
        for name in names {
            self.program(name)?;
        }
        self.options.only_programs(names.iter().copied());
        Ok(())
    }

    /// The programs that a load would load, as far as that is known before.
    pub fn chosen_programs(&self) -> impl Iterator<Item = &skep_object::Program> {
        let chosen = |program: &&skep_object::Program| {
            let asked = self.options.asks_for(&program.name);
            asked.unwrap_or_else(|| program.section.autoload())
        };
        self.spec.programs().iter().filter(chosen)
    }

    /// The choices for a map.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn map(&mut self, name: &str) -> Result<&mut MapOptions> {
        let known = || self.spec.maps().iter().map(|map| map.name.as_str());
        if known().any(|map| map == name) {
            return Ok(self.options.map(name));
        }
        Err(Error::unknown("map", name, known()))
    }

    /// Has a map that is there already stand in for one of the object's, with whatever is in it:
    /// of another object, so that both share it, or of an earlier load. It is neither filled nor
    /// pinned.
    ///
    /// The load checks that it has the shape that the object asks for: type, sizes of key and
    /// value, entries, flags and map_extra; what of that may be otherwise is for
    /// [`map`](Self::map) to say.
    ///
    /// # Errors
    /// The object has no map of that name.
    #[doc(alias = "bpf_map__reuse_fd")]
    pub fn reuse_map(&mut self, name: &str, map: Arc<Map>) -> Result<()> {
        self.map(name)?;
        self.given.maps.insert(name.to_owned(), map);
        Ok(())
    }

    /// Has a program loaded for a function of another program, which a host holds already: one of
    /// `freplace` takes its place (5.6), `fentry`, `fexit` and `fsession` trace it. Which function
    /// is what follows the slash in the section's name, or what
    /// [`attach_target`](ProgramOptions::attach_target) said before this.
    ///
    /// ```no_run
    /// use skep::{Host, Object, TargetProgram};
    ///
    /// let host = Host::auto()?;
    /// let firewall = TargetProgram::pinned(&host, "/sys/fs/bpf/firewall".as_ref())?;
    /// let mut object = Object::open("patch.bpf.o")?;
    /// // SEC("freplace/is_allowed")
    /// object.attach_to_program("is_allowed_now", &firewall)?;
    /// let _links = object.load(&host)?.attach_all()?;
    /// # Ok::<(), skep::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no program of that name, it names no function, or the other one has no global
    /// function of it or was loaded without BTF.
    #[doc(alias = "bpf_program__set_attach_target")]
    pub fn attach_to_program(&mut self, name: &str, target: &TargetProgram) -> Result<()> {
        self.program(name)?;
        let chosen = self
            .options
            .program(name)
            .chosen_target()
            .map(str::to_owned);
        let mut programs = self.spec.programs().iter();
        let Some(program) = programs.find(|program| program.name == name) else {
            return Ok(());
        };
        let section = program.section.target().map(str::to_owned);
        let function = chosen.or(section).ok_or_else(|| Error::Attach {
            program: name.to_owned(),
            section: program.section.to_string(),
            reason: "its section must say which function of the other program, as in \
                     `freplace/is_allowed`"
                .into(),
        })?;
        let function = target.function(&function)?;
        self.options.program(name).of_program(true);
        self.given.targets.insert(name.to_owned(), function);
        Ok(())
    }

    /// A global variable, to set what it starts with.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn global(&mut self, name: &str) -> Result<Global<'_>> {
        match self
            .spec
            .variables()
            .iter()
            .position(|variable| variable.name == name)
        {
            Some(index) => Ok(Global {
                object: self,
                index,
            }),
            None => {
                let known = self
                    .spec
                    .variables()
                    .iter()
                    .map(|variable| variable.name.as_str());
                Err(Error::unknown("global variable", name, known))
            }
        }
    }

    /// Whether a global variable was set.
    #[cfg(feature = "vm")]
    pub(crate) fn has_set(&self, name: &str) -> bool {
        self.options.variable_of(name).is_some()
    }

    /// Sets what an extern of the kernel's configuration is, whatever the host's says; spelled as
    /// in `.config` (`y`, `1000`, `"text"`).
    ///
    /// # Errors
    /// The object asks for no such value.
    #[doc(alias = "kconfig")]
    pub fn config(&mut self, name: &str, value: &str) -> Result<()> {
        let externs = self.spec.externs().iter();
        let known = externs.filter(|known| known.kind == ExternKind::Kconfig);
        let mut known = known.map(|known| known.name.as_str());
        if known.clone().any(|known| known == name) {
            self.options.config(name, value);
            return Ok(());
        }
        Err(Error::unknown("configuration value", name, &mut known))
    }

    /// Makes CO-RE relocations by these types in place of the host's: for a kernel that has none,
    /// those of a file that describes that very kernel (see [`open_btf`](crate::open_btf)).
    #[doc(alias = "btf_custom_path")]
    pub fn core_btf(&mut self, btf: Arc<Btf>) -> &mut Self {
        self.core_btf = Some(btf);
        self
    }

    /// Takes types for CO-RE relocations from an archive where the host has none itself. Which they
    /// were, [`Loaded::fallbacks`] says.
    pub fn btf_where_none(&mut self, archive: BtfArchive) -> &mut Self {
        self.archive = Some(archive);
        self
    }

    /// Has one of several programs loaded: the first that the host takes. They are forms of one
    /// thing, the best first, such as one of `fentry`, one of `kprobe` and one of a tracepoint.
    ///
    /// A form is tried by loading it alone, and by a look whether its hook and its place are there;
    /// the last is taken as it is. Why a better one was not, [`Loaded::fallbacks`] says. Forms that
    /// [`program`](Self::program) or [`only_programs`](Self::only_programs) leave out are not tried.
    ///
    /// The object can say so itself: in Rust by `instead_of = typed` in the attribute of a program, in C
    /// by `SKEP_INSTEAD_OF` of `skep.h`:
    ///
    /// ```c
    /// SEC("fentry/vfs_unlink") int BPF_PROG(typed, struct mnt_idmap *map, struct inode *dir) { … }
    /// SEC("?kprobe/vfs_unlink") SKEP_INSTEAD_OF(typed) int BPF_KPROBE(probed) { … }
    /// ```
    ///
    /// # Errors
    /// There is no program of one of the names, or it is told twice.
    pub fn fall_back(&mut self, forms: &[&str]) -> Result<&mut Self> {
        for name in forms {
            self.program(name)?;
        }
        self.forms.add(forms)?;
        Ok(self)
    }

    /// Makes the choices that fall-backs leave to a host, for good: which form of a program is
    /// loaded, and whose types are used. A load of what has such choices does this by itself; to
    /// [`link`](Self::link) or to [`check`](Self::check) what a load would take, do it before.
    ///
    /// # Errors
    /// A tag of the object names no program; or the host has no types, and neither has the archive.
    pub fn settle(&mut self, host: &Host, options: &LoadOptions) -> Result<&[Fallback]> {
        if let Some(settled) = self.settle_for(host, options)? {
            self.options = settled.options;
            self.core_btf = settled.core_btf;
            self.settled = Some(settled.fallbacks);
        }
        Ok(self.settled.as_deref().unwrap_or_default())
    }

    /// The choices, if there are any to make.
    fn settle_for(&self, host: &Host, load: &LoadOptions) -> Result<Option<Settled>> {
        let groups = self.forms.of(&self.spec)?;
        if self.settled.is_some() || (groups.is_empty() && self.archive.is_none()) {
            return Ok(None);
        }
        let mut core_btf = self.core_btf.clone();
        let mut fallbacks = Vec::new();
        let mut functions = self.spec.functions().iter();
        let relocates = functions.any(|function| !function.core_relocations.is_empty());
        if let (None, Some(archive), true) = (&core_btf, &self.archive, relocates)
            && let Err(error) = host.btf()
        {
            let (from, types) = archive.find(host.info())?;
            core_btf = Some(Arc::new(types));
            let because = match error.cause() {
                Some(cause) => cause.to_string(),
                None => error.to_string(),
            };
            fallbacks.push(Fallback::Types { from, because });
        }
        let mut options = self.options.clone();
        let attempt = Attempt {
            host,
            load,
            given: &self.given,
            core_btf: core_btf.as_ref(),
        };
        fallbacks.extend(choose(&groups, &self.spec, &mut options, &attempt)?);
        Ok(Some(Settled {
            options,
            core_btf,
            fallbacks,
        }))
    }

    /// Relocates the object for `host`, creates its maps and loads its programs. Nothing stays
    /// behind when it fails.
    ///
    /// # Errors
    /// A relocation finds nothing, the host refuses a map, or its verifier a program.
    pub fn load(&self, host: &Host) -> Result<Loaded> {
        self.load_with(host, &LoadOptions::default())
    }

    /// [`load`](Self::load), with options.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_with(&self, host: &Host, options: &LoadOptions) -> Result<Loaded> {
        let Some(settled) = self.settle_for(host, options)? else {
            return self.load_image(host, options, self.link(host)?);
        };
        let core_btf = settled.core_btf.as_ref();
        let image = crate::target::link(&self.spec, &settled.options, host, core_btf)?;
        let loaded = self.load_image(host, options, image)?;
        Ok(loaded.fell_back(settled.fallbacks))
    }

    /// Loads an image that was [linked](Self::link) before, and perhaps changed since: maps behind
    /// those of the object are created too, and [`Loaded::added_map`] has them.
    ///
    /// # Errors
    /// The host refuses a map, or its verifier a program.
    pub fn load_image(
        &self,
        host: &Host,
        options: &LoadOptions,
        image: skep_object::Image,
    ) -> Result<Loaded> {
        let loaded = crate::load::load(&self.spec, image, host, options, &self.given)?;
        Ok(loaded
            .with_variables(&self.spec)
            .attached_by(self.attachers.clone())
            .fell_back(self.settled.clone().unwrap_or_default()))
    }

    /// How it is linked.
    pub(crate) fn link_options(&self) -> &skep_object::LinkOptions {
        &self.options
    }

    /// The types that take the place of a host's for CO-RE.
    #[cfg(feature = "verifier")]
    pub(crate) fn core_types(&self) -> Option<&Arc<Btf>> {
        self.core_btf.as_ref()
    }

    /// Relocates the object for a machine that is not here, of which all that counts is known.
    ///
    /// # Errors
    /// As [`link`](Self::link).
    pub fn link_for(&self, target: &skep_object::Target) -> Result<skep_object::Image> {
        Ok(self.spec.link(&self.options, target)?)
    }

    /// Relocates the object for `host` without loading it.
    ///
    /// # Errors
    /// A relocation finds nothing, or a choice does not fit the object.
    pub fn link(&self, host: &Host) -> Result<skep_object::Image> {
        crate::target::link(&self.spec, &self.options, host, self.core_btf.as_ref())
    }
}

/// What an object is loaded with on a host where choices were left open.
struct Settled {
    options: LinkOptions,
    core_btf: Option<Arc<Btf>>,
    fallbacks: Vec<Fallback>,
}

/// A global variable of an object that is not loaded yet.
#[derive(Debug)]
pub struct Global<'o> {
    object: &'o mut Object,
    index: usize,
}

impl Global<'_> {
    /// What the object says of it.
    pub fn variable(&self) -> &Variable {
        &self.object.spec.variables()[self.index]
    }

    /// Sets what it starts with.
    ///
    /// # Errors
    /// The value has another size than the variable.
    pub fn set<T: IntoBytes + Immutable>(self, value: T) -> Result<()> {
        self.set_bytes(value.as_bytes())
    }

    /// Sets what it starts with, by bytes in the host's byte order.
    ///
    /// # Errors
    /// There are more or fewer bytes than the variable has.
    pub fn set_bytes(self, bytes: &[u8]) -> Result<()> {
        let variable = self.variable();
        if bytes.len() != variable.size as usize {
            return Err(Error::Variable {
                variable: variable.name.clone(),
                reason: format!(
                    "the value is {} bytes, and it is {}",
                    bytes.len(),
                    variable.size
                ),
            });
        }
        let name = variable.name.clone();
        self.object.options.variable(name, bytes);
        Ok(())
    }

    /// Sets what it starts with, by text that is read by the variable's type: a number, `true`,
    /// an enumerator's name, text for an array of `char`, `[1, 2, 3]` for other arrays.
    ///
    /// # Errors
    /// The object has no BTF for it, or the text does not fit the type.
    pub fn set_text(self, text: &str) -> Result<()> {
        let variable = self.variable();
        let fault = |reason: String| Error::Variable {
            variable: variable.name.clone(),
            reason,
        };
        let btf = self.object.spec.btf();
        let (Some(type_id), Some(btf)) = (variable.type_id, btf) else {
            return Err(fault(
                "the object has no type for it; compile it with -g".into(),
            ));
        };
        let bytes = value::parse(btf, type_id, text).map_err(fault)?;
        self.set_bytes(&bytes)
    }
}
