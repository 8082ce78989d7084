//! From an image to things that a host holds: BTF, maps with their contents, programs.
//!
//! Everything made on the way is owned, so a failure anywhere leaves nothing behind: descriptors
//! are closed, and pins that this load made are removed again.

mod exclusive;
mod instructions;
mod maps;
mod modules;
mod parallel;
mod pins;
mod programs;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use skep_host::{BtfFd, BtfLoad, Host as Boundary, LogLevel, NewPins};
use skep_object::{Image, MapIndex};

use crate::{Error, Host, Loaded, Map, Program, Result, StructOps, target_program::TargetFunction};
use modules::Modules;

/// How an object is loaded.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// How much of the verifier's log to keep of programs that load.
    pub log_level: LogLevel,
    /// Where maps that are shared by name are pinned.
    pub pin_folder: PathBuf,
    /// Whether a program that the host refuses is looked at by Skep's own verifier (feature
    /// `verifier`), which takes its time and says more than the host's log. Without it there is
    /// what the host says.
    pub explain: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            log_level: LogLevel::OnFailure,
            pin_folder: "/sys/fs/bpf".into(),
            explain: true,
        }
    }
}

/// What is there already, and an object is loaded with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    /// Maps that stand in for the object's own, by name.
    pub(crate) maps: BTreeMap<String, Arc<Map>>,
    /// Functions of programs that the object's are loaded for, by the names of the latter.
    pub(crate) targets: BTreeMap<String, TargetFunction>,
}

/// Loads an image, with what is given to it.
///
/// A host that refuses the BTF may take the rest, which then has no types there. If it does not,
/// the BTF is what was wrong.
pub(crate) fn load(
    spec: &skep_object::Object,
    image: Image,
    host: &Host,
    options: &LoadOptions,
    given: &Given,
) -> Result<Loaded> {
    match load_btf(&image, host.boundary()) {
        Ok(btf) => load_with(spec, image, host, options, given, btf),
        Err(refusal) => match load_with(spec, image, host, options, given, None) {
            Ok(loaded) => Ok(loaded.without_btf(refusal)),
            Err(_) => Err(refusal),
        },
    }
}

fn load_with(
    spec: &skep_object::Object,
    image: Image,
    host: &Host,
    options: &LoadOptions,
    given: &Given,
    btf: Option<BtfFd>,
) -> Result<Loaded> {
    let boundary = host.boundary();
    let mut loader = Loader {
        spec,
        image: &image,
        host: boundary,
        options,
        given,
        btf,
        modules: Modules::new(boundary),
        pins: NewPins::new(Arc::clone(boundary)),
    };
    let maps = loader.create_maps()?;
    let usdt = loader.usdt(&maps);
    let loaded = parallel::each(&image.programs, |program| {
        loader.load_program(program, &maps, usdt.as_ref())
    });
    let loaded = match loaded {
        Ok(loaded) => loaded,
        #[cfg(feature = "verifier")]
        Err(Error::Rejected(mut rejection)) => {
            if options.explain {
                rejection.diagnose(&image, host);
            }
            return Err(Error::Rejected(rejection));
        }
        Err(error) => return Err(error),
    };
    let mut programs: BTreeMap<String, Arc<Program>> = BTreeMap::new();
    for program in loaded {
        programs.insert(program.name().to_owned(), Arc::new(program));
    }
    loader.fill_with_programs(&maps, &programs)?;
    let mut struct_ops = Vec::new();
    for (map, made) in image.maps.iter().zip(&maps) {
        if let Some(made) = made {
            struct_ops.extend(StructOps::prepare(
                spec,
                map,
                &made.map,
                &programs,
                made.reused,
            )?);
        }
    }
    loader.pins.keep();
    drop(loader);
    let maps = maps.into_iter().map(|made| Some(made?.map)).collect();
    let of_object = spec.maps().len();
    Ok(Loaded::new(
        host.clone(),
        image,
        maps,
        of_object,
        programs,
        struct_ops,
    ))
}

fn load_btf(image: &Image, host: &Arc<dyn Boundary>) -> Result<Option<BtfFd>> {
    let Some(bytes) = &image.btf else {
        return Ok(None);
    };
    let request = BtfLoad {
        object: &image.name,
        bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    };
    Ok(Some(host.btf_load(&request)?))
}

struct Loader<'a> {
    spec: &'a skep_object::Object,
    image: &'a Image,
    host: &'a Arc<dyn Boundary>,
    options: &'a LoadOptions,
    given: &'a Given,
    btf: Option<BtfFd>,
    modules: Modules<'a>,
    pins: NewPins<dyn Boundary>,
}

impl Loader<'_> {
    /// An error of the object, with the name of its file.
    fn blame(&self, error: skep_object::Error) -> Error {
        self.spec.blame(error).into()
    }
}

/// A map of the image, there now.
struct Made {
    map: Arc<Map>,
    /// It was there before this load, with whatever is in it.
    reused: bool,
    /// Where an arena's variables are in it.
    data_offset: u32,
}

/// The maps of an image by their index; `None` for those that are not created.
type MadeMaps = [Option<Made>];

fn made_at<'m>(maps: &'m MadeMaps, index: MapIndex, user: &str) -> Result<&'m Made> {
    let made = maps.get(index.as_usize()).and_then(Option::as_ref);
    made.ok_or_else(|| Error::Map {
        map: format!("#{index}"),
        reason: format!("`{user}` refers to it, and it was not created"),
    })
}
