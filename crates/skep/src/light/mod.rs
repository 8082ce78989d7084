//! The light form of an object: linked for one kernel, and written as Rust that loads it by the
//! crate `skep-light`, with no ELF or BTF parser (`skep gen light`).
//!
//! [`Light`] is what is known of it; `data.rs` writes the image, `api.rs` the types around it,
//! `spell.rs` has names and literals.

mod api;
mod data;
mod sign;
mod spell;

use std::collections::BTreeMap;

use skep_abi::KernelVersion;
use skep_host::{HostKind, fingerprint};
use skep_object::{AttachKind, Contents, ExternKind, Image, ImageMap, ImageProgram, Target};

use crate::{Error, Host, Object, Result, target::Needs};

/// An object in light form.
///
/// ```no_run
/// use skep::{Host, Object};
///
/// let object = Object::open("opensnoop.bpf.o")?;
/// let light = object.light(&Host::kernel()?)?;
/// std::fs::write("opensnoop.rs", light.to_rust("Opensnoop")).expect("a place for it");
/// # Ok::<(), skep::Error>(())
/// ```
#[derive(Debug)]
pub struct Light<'o> {
    object: &'o Object,
    image: Image,
    made_for: MadeFor,
    /// By program.
    signatures: BTreeMap<String, Vec<u8>>,
}

/// The kernel that it is for.
#[derive(Debug)]
struct MadeFor {
    release: String,
    version: KernelVersion,
    same_release: bool,
    types: Option<Types>,
    modules: Vec<(String, Types)>,
}

/// What tells a kernel's types from those of another build.
#[derive(Debug)]
struct Types {
    len: usize,
    fingerprint: u64,
    build_id: Vec<u8>,
}

impl Types {
    fn of(bytes: &[u8]) -> Self {
        Self {
            len: bytes.len(),
            fingerprint: fingerprint(bytes),
            build_id: Vec::new(),
        }
    }
}

impl Object {
    /// The light form for the kernel that is this host.
    ///
    /// # Errors
    /// As [`link`](Self::link); and where the object has something that the light form does not: a
    /// map that is exclusive to a program; jump tables, static probe points of user space, addresses
    /// of kernel symbols (they change with each boot), structs of functions without a link.
    pub fn light(&self, host: &Host) -> Result<Light<'_>> {
        if host.info().kind != HostKind::Kernel {
            return Err(Error::NoHost {
                reason: "the light form is for kernels, and this host is the virtual machine"
                    .into(),
                fix: "use `Host::kernel`, or the types of a kernel (`Object::light_for`)".into(),
            });
        }
        let image = self.link(host)?;
        let needs = self.needs();
        let mut made_for = MadeFor {
            release: host.info().release.clone(),
            version: host.info().version,
            same_release: needs.config_values,
            types: None,
            modules: Vec::new(),
        };
        if needs.types {
            let mut types = Types::of(host.btf()?.bytes());
            types.build_id = build_id();
            made_for.types = Some(types);
        }
        for module in modules(&image) {
            let bytes = host.boundary().btf(Some(&module))?;
            let types = Types::of((*bytes).as_ref());
            made_for.modules.push((module, types));
        }
        Light::new(self, image, made_for)
    }

    /// The light form for a kernel that is not here, of which the release is known, or only the
    /// version.
    ///
    /// # Errors
    /// As [`light`](Self::light).
    pub fn light_for(&self, target: &Target, release: &str) -> Result<Light<'_>> {
        let image = self.link_for(target)?;
        let needs = self.needs();
        let types = target.kernel_btf.as_ref().filter(|_| needs.types);
        let mut made_for = MadeFor {
            release: release.to_owned(),
            version: target.version,
            same_release: needs.config_values,
            types: types.map(|types| Types::of(types.bytes())),
            modules: Vec::new(),
        };
        for module in modules(&image) {
            let known = target.modules.iter().find(|known| known.name == module);
            let types = Types::of(known.map_or(&[], |known| known.btf.bytes()));
            made_for.modules.push((module, types));
        }
        Light::new(self, image, made_for)
    }

    fn needs(&self) -> Counts {
        let needs = Needs::of(self.spec(), self.link_options(), false);
        let mut externs = self.spec().externs().iter();
        let structs = self.spec().maps().iter();
        let mut structs = structs.map(|map| &map.contents);
        Counts {
            types: needs.types || structs.any(|has| matches!(has, Contents::StructOps { .. })),
            config_values: externs.any(|external| external.kind == ExternKind::Kconfig),
        }
    }
}

/// What of a kernel is in an image.
struct Counts {
    types: bool,
    config_values: bool,
}

/// The modules whose types an image refers to, each once.
fn modules(image: &Image) -> Vec<String> {
    let of_maps = image.maps.iter().filter_map(|map| {
        let kernel = map.kernel_value_type.as_ref()?;
        kernel.module.clone()
    });
    let of_programs = image.programs.iter().flat_map(|program| {
        let references = program.module_references.iter();
        let target = program.attach_btf.as_ref();
        references
            .map(|reference| reference.module.clone())
            .chain(target.and_then(|target| target.module.clone()))
    });
    let mut all: Vec<String> = of_maps.chain(of_programs).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(target_os = "linux")]
fn build_id() -> Vec<u8> {
    let kernel = skep_linux::LinuxHost::new().ok();
    kernel
        .and_then(|kernel| kernel.build_id())
        .unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn build_id() -> Vec<u8> {
    Vec::new()
}

impl<'o> Light<'o> {
    fn new(object: &'o Object, image: Image, made_for: MadeFor) -> Result<Self> {
        let untyped = ExternKind::KernelVariable { typed: false };
        let mut externs = object.spec().externs().iter();
        if let Some(external) = externs.find(|external| external.kind == untyped) {
            return Err(refusal(
                format!("`{}` in section .ksyms", external.name),
                "it is the address of a kernel symbol, which changes with each boot: declare it with \
                 its type (`extern const struct rq runqueues __ksym`), by which it is found in BTF",
            ));
        }
        for map in image.maps.iter().filter(|map| map.create) {
            if let Some(reason) = not_light(map) {
                return Err(refusal(format!("map `{}`", map.name), reason));
            }
        }
        for program in &image.programs {
            if let Some(reason) = program_not_light(program) {
                let (name, section) = (&program.name, &program.section);
                let what = format!("program `{name}` in section {section}");
                return Err(refusal(what, reason));
            }
        }
        Ok(Self {
            object,
            image,
            made_for,
            signatures: BTreeMap::new(),
        })
    }

    /// What was linked.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The module, with types of these names: `Opensnoop` to load it, `OpensnoopLoaded` for what it
    /// is then.
    pub fn to_rust(&self, name: &str) -> String {
        let mut out = String::new();
        api::write(self, &spell::type_name(name), &mut out);
        data::write(self, &mut out);
        out
    }

    /// The maps that are created, in order: the places of generated indices.
    fn maps(&self) -> impl Iterator<Item = (usize, &ImageMap)> {
        let all = self.image.maps.iter().enumerate();
        all.filter(|(_, map)| map.create)
    }

    /// Where among those a map of the image is.
    fn place_of(&self, map: usize) -> Option<usize> {
        self.maps().position(|(index, _)| index == map)
    }
}

fn refusal(what: String, reason: &str) -> Error {
    Error::NotLight {
        what,
        reason: reason.to_owned(),
    }
}

/// What keeps a map from the light form.
fn not_light(map: &ImageMap) -> Option<&'static str> {
    if map.exclusive.is_some() {
        Some(
            "it is exclusive to a program: leave that out (`MapOptions::exclusive`), or load the \
             object with the crate `skep`",
        )
    } else {
        match map.contents {
            Contents::StructOps { by_link: false, .. } => {
                Some("it is a struct of functions without a link: put it in .struct_ops.link")
            }
            _ => None,
        }
    }
}

/// What keeps a program from the light form.
fn program_not_light(program: &ImageProgram) -> Option<&'static str> {
    match program.section.kind() {
        AttachKind::Usdt => Some(
            "static probe points are found in ELF files, which it does not read: attach by a uprobe, \
             load the object with the crate `skep`, or leave the program out (its section with a \
             `?`)",
        ),
        _ if !program.jump_tables.is_empty() => Some(
            "it has jump tables: compile it without (`-fno-jump-tables`), or load the object with the \
             crate `skep`",
        ),
        _ => None,
    }
}
