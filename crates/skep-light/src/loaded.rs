//! An image that the kernel holds: its maps, its programs, what its variables are now.

use skep_abi::AttachType;
use skep_host::{Attachment, Host as _, LinkCreate, LinkOptions, LinkSource, LinkTarget};

use crate::{Attached, Contents, Error, Image, Kernel, Map, Place, Program, Result, load::KEY};

/// An image that the kernel holds. Dropping it gives up its programs and maps, unless an attachment
/// or a pin holds them.
#[derive(Debug)]
pub struct Loaded {
    pub(crate) kernel: Kernel,
    pub(crate) image: &'static Image,
    pub(crate) maps: Vec<Map>,
    pub(crate) programs: Vec<Option<Program>>,
}

impl Loaded {
    /// The maps, in the image's order.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The map at an index of the image, as a handle of its own.
    ///
    /// # Errors
    /// There is none; or there are too many open files.
    pub fn map(&self, index: usize) -> Result<Map> {
        self.at(index)?.try_clone()
    }

    fn at(&self, index: usize) -> Result<&Map> {
        self.maps.get(index).ok_or_else(|| Error::Map {
            map: self.image.name,
            reason: format!("there is no map {index}"),
        })
    }

    /// The programs, in the image's order; `None` for those that were left out.
    pub fn programs(&self) -> &[Option<Program>] {
        &self.programs
    }

    /// The program at an index of the image, as a handle of its own; `None` if it was left out.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn program(&self, index: usize) -> Result<Option<Program>> {
        let program = self.programs.get(index).and_then(Option::as_ref);
        program.map(Program::try_clone).transpose()
    }

    /// The bytes of a global variable as they are now, from an offset in its map's value.
    ///
    /// # Errors
    /// The kernel refused, or they reach beyond the value.
    pub fn bytes<const N: usize>(&self, map: usize, offset: usize) -> Result<[u8; N]> {
        let map = self.at(map)?;
        let mut found = [0; N];
        if let Some((arena, start)) = map.variables() {
            let read = arena.read(start + offset, &mut found);
            return match read {
                Ok(()) => Ok(found),
                Err(reason) => Err(map.fault(reason)),
            };
        }
        let data = map.lookup(&KEY)?.unwrap_or_default();
        let bytes = data.get(offset..).and_then(|rest| rest.first_chunk());
        let bytes = bytes.ok_or_else(|| map.fault(format!("it has no {N} bytes at {offset}")))?;
        Ok(*bytes)
    }

    /// The bytes of a map of global variables as they are now; of an arena, those of its variables.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn data(&self, map: usize) -> Result<Vec<u8>> {
        let map = self.at(map)?;
        match (map.variables(), map.image().contents) {
            (Some((arena, start)), Contents::Arena(data)) => {
                let mut bytes = vec![0; data.len()];
                let read = arena.read(start, &mut bytes);
                read.map_err(|reason| map.fault(reason))?;
                Ok(bytes)
            }
            _ => Ok(map.lookup(&KEY)?.unwrap_or_default()),
        }
    }

    /// Attaches all programs whose sections say where, and all structs of functions. They stay until
    /// what is given is dropped.
    ///
    /// # Errors
    /// One can't be attached, or its section does not say all of the place: those before it are
    /// detached again.
    pub fn attach(&self) -> Result<Vec<Attached>> {
        let mut attached = Vec::new();
        for program in self.programs.iter().flatten() {
            if !matches!(program.place(), Place::Never) {
                attached.push(program.attach()?);
            }
        }
        for (map, image) in self.maps.iter().zip(self.image.maps) {
            if let Contents::StructOps { by_link: true, .. } = image.contents {
                let link = self.kernel.link_create(&LinkCreate {
                    program: LinkSource::StructOps(map.fd()),
                    target: LinkTarget::None,
                    attach_type: AttachType::StructOps,
                    flags: 0,
                    options: LinkOptions::None,
                })?;
                attached.push(Attached::new(Attachment::link(link)));
            }
        }
        Ok(attached)
    }
}
