//! An image before it is loaded: what its variables start with, how large its maps are, which
//! programs are left out.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf};

use crate::{Contents, Image, Kernel, Loaded, Result, TargetFunction, load};

/// `KEY_SPEC_SESSION_KEYRING`
const SESSION: i32 = -3;

/// An image and the choices made for it. Generated code has one inside, with the names of variables
/// and maps as methods.
#[derive(Debug)]
pub struct Open {
    pub(crate) image: &'static Image,
    data: BTreeMap<usize, Cow<'static, [u8]>>,
    entries: BTreeMap<usize, u32>,
    left_out: Vec<usize>,
    targets: BTreeMap<usize, TargetFunction>,
    pub(crate) keyring: i32,
    pub(crate) pin_folder: PathBuf,
}

impl Open {
    /// An image as it was generated.
    pub fn new(image: &'static Image) -> Self {
        Self {
            image,
            data: BTreeMap::new(),
            entries: BTreeMap::new(),
            left_out: Vec::new(),
            targets: BTreeMap::new(),
            keyring: SESSION,
            pin_folder: "/sys/fs/bpf".into(),
        }
    }

    /// The bytes that a map of global variables starts with, to be changed; empty if it has none.
    pub fn data_mut(&mut self, map: usize) -> &mut [u8] {
        let image = self.image;
        let of_image = || match image.maps.get(map).map(|map| (&map.contents, &map.inner)) {
            Some((Contents::Data(data) | Contents::PerCpu(data) | Contents::Arena(data), _)) => {
                Cow::Borrowed(*data)
            }
            Some((Contents::Empty, inner)) => Cow::Owned(vec![0; inner.value_size as usize]),
            _ => Cow::Borrowed(&[][..]),
        };
        self.data.entry(map).or_insert_with(of_image).to_mut()
    }

    /// Puts bytes into a map of global variables, at their place: what generated setters do.
    ///
    /// # Panics
    /// They reach beyond the map's value, which those of generated code don't.
    pub fn put(&mut self, map: usize, offset: usize, bytes: &[u8]) {
        self.data_mut(map)[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes a map of so many entries; of rings, bytes.
    pub fn set_max_entries(&mut self, map: usize, entries: u32) {
        self.entries.insert(map, entries);
    }

    /// The keyring that holds the keys of who signed the programs: a serial number, or one of the
    /// kernel's own (0 builtin, 1 secondary, 2 platform), or -3, the session's, which it is unless
    /// another is set. Without a signature it does not matter.
    pub fn set_keyring(&mut self, keyring: i32) {
        self.keyring = keyring;
    }

    /// The folder, in a bpffs, of maps that are pinned by their names: `/sys/fs/bpf` unless another
    /// is set. A map that is there already is taken as it is, with what is in it.
    pub fn set_pin_folder(&mut self, folder: impl Into<PathBuf>) {
        self.pin_folder = folder.into();
    }

    /// Leaves a program out.
    pub fn leave_out(&mut self, program: usize) {
        self.left_out.push(program);
    }

    /// Says which function of another program one is for, whose section is `freplace`, or that was
    /// made to trace a program. Without it such a program must be left out.
    pub fn set_target(&mut self, program: usize, target: TargetFunction) {
        self.targets.insert(program, target);
    }

    /// Creates the maps and loads the programs. Nothing stays behind when it fails.
    ///
    /// # Errors
    /// The image was made for another kernel; or this one refuses a map, or its verifier a program.
    pub fn load(&self, kernel: &Kernel) -> Result<Loaded> {
        load::load(self, kernel)
    }

    /// What a map starts with, as it was changed.
    pub(crate) fn changed(&self, map: usize) -> Option<&[u8]> {
        self.data.get(&map).map(Cow::as_ref)
    }

    pub(crate) fn entries(&self, map: usize) -> Option<u32> {
        self.entries.get(&map).copied()
    }

    pub(crate) fn target(&self, program: usize) -> Option<&TargetFunction> {
        self.targets.get(&program)
    }

    pub(crate) fn loads(&self, program: usize) -> bool {
        !self.left_out.contains(&program)
    }
}
