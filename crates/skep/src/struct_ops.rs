//! Structs of functions that the kernel calls (`.struct_ops`): a map that holds programs, and what
//! registers it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use skep_abi::AttachType;
use skep_host::{Attachment, Detach, LinkCreate, LinkOptions, LinkSource, LinkTarget, ProgramFd};
use skep_object::{Contents, ImageMap};

use crate::{Link, Map, Program, Result};

/// A struct of functions, loaded: a congestion control, a scheduler, a queueing discipline.
///
/// Its map's value is the kernel's struct, with the programs in the places of functions. The
/// kernel calls them once it is [attached](Self::attach).
pub struct StructOps {
    map: Arc<Map>,
    programs: Vec<Arc<Program>>,
    value: Vec<u8>,
    by_link: bool,
}

/// The only key of its map.
const KEY: [u8; 4] = 0_u32.to_ne_bytes();

impl StructOps {
    /// Puts a struct's programs into its value; `None` if the map is of another type. One that is
    /// for a link goes to the kernel now, which checks it; the others are registered by that.
    pub(crate) fn prepare(
        spec: &skep_object::Object,
        image: &ImageMap,
        map: &Arc<Map>,
        programs: &BTreeMap<String, Arc<Program>>,
        reused: bool,
    ) -> Result<Option<Arc<Self>>> {
        let Contents::StructOps {
            data,
            programs: members,
            by_link,
        } = &image.contents
        else {
            return Ok(None);
        };
        let mut value = data.clone();
        let mut held = Vec::new();
        for (offset, index) in members {
            let program = spec.program_at(*index);
            let Some(program) = program.and_then(|program| programs.get(&program.name)) else {
                continue;
            };
            let start = *offset as usize;
            if let Some(place) = value.get_mut(start..start + 8) {
                // A function pointer's place takes the descriptor.
                place.copy_from_slice(&i64::from(program.fd().raw()).to_ne_bytes());
            }
            held.push(Arc::clone(program));
        }
        if *by_link && !reused {
            map.host().map_update_elem(map.fd(), &KEY, &value, 0)?;
        }
        Ok(Some(Arc::new(Self {
            map: Arc::clone(map),
            programs: held,
            value,
            by_link: *by_link,
        })))
    }

    /// Its variable's name.
    pub fn name(&self) -> &str {
        self.map.name()
    }

    /// Its map.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Its programs, in the order of the object's struct.
    pub fn programs(&self) -> &[Arc<Program>] {
        &self.programs
    }

    /// Registers it with the kernel, until the link is dropped. By a link where it stands in
    /// section `.struct_ops.link` (since 6.4), which can be pinned and
    /// [updated](Link::update_struct_ops); else by the map itself, which can be registered once
    /// only.
    ///
    /// # Errors
    /// The kernel refuses it: a function that must be there is not, or the name is taken.
    pub fn attach(self: &Arc<Self>) -> Result<Link> {
        let host = self.map.host();
        let attachment = if self.by_link {
            let link = host.link_create(&LinkCreate {
                program: LinkSource::StructOps(self.map.fd()),
                target: LinkTarget::None,
                attach_type: AttachType::StructOps,
                flags: 0,
                options: LinkOptions::None,
            })?;
            Attachment::link(link)
        } else {
            host.map_update_elem(self.map.fd(), &KEY, &self.value, 0)?;
            let registered = Registered {
                map: Some(Arc::clone(&self.map)),
            };
            Attachment::held(Box::new(registered), None)
        };
        Ok(Link::of_struct_ops(Arc::clone(self), attachment))
    }

    /// Associates a program of another type with it, so that kernel functions which the program
    /// calls know whose they are: those of sched_ext, where there are several schedulers. The
    /// struct's own programs are by themselves. It can't be undone. Since 7.0.
    ///
    /// # Errors
    /// The program is associated with another struct, or one of a struct itself.
    #[doc(alias = "BPF_PROG_ASSOC_STRUCT_OPS")]
    #[doc(alias = "bpf_program__assoc_struct_ops")]
    pub fn associate(&self, program: &Program) -> Result<()> {
        let host = self.map.host();
        Ok(host.prog_assoc_struct_ops(program.fd(), self.map.fd())?)
    }
}

impl fmt::Debug for StructOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StructOps")
            .field("map", &self.map)
            .field("programs", &self.programs)
            .field("by_link", &self.by_link)
            .finish_non_exhaustive()
    }
}

/// A struct that is registered by its map's value; taking the value out ends that.
#[derive(Debug)]
struct Registered {
    map: Option<Arc<Map>>,
}

impl Detach for Registered {
    fn detach(&mut self) -> skep_host::Result<()> {
        let Some(map) = self.map.take() else {
            return Ok(());
        };
        map.host().map_delete_elem(map.fd(), &KEY).map(drop)
    }

    fn update(&mut self, _: &ProgramFd) -> skep_host::Result<()> {
        Err(skep_host::Error::Request {
            object: "a struct_ops map".into(),
            reason: "its programs can't be swapped; register another map".into(),
        })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Dropping has nobody to tell.
        let _ = self.detach();
    }
}
