//! From an image to maps and programs that the kernel holds. Everything is owned on the way, so that
//! a failure leaves nothing behind.

mod maps;
mod programs;

use std::sync::Arc;

use skep_host::{BtfFd, BtfLoad, Host as _, LogLevel, NewPins, open_modules};
use skep_linux::LinuxHost;

use crate::{Error, Image, Kernel, Loaded, Open, Result, made_for};

/// The only key of a map of global variables.
pub(crate) const KEY: [u8; 4] = 0_u32.to_ne_bytes();

pub(crate) fn load(open: &Open, kernel: &Kernel) -> Result<Loaded> {
    let image = open.image;
    if let Some(differs) = made_for::differs(image, kernel) {
        return Err(Error::OtherKernel {
            name: image.name,
            made_for: &image.made_for,
            differs,
        });
    }
    let mut loader = Loader::new(open, kernel)?;
    let maps = loader.maps()?;
    let programs = loader.programs(&maps)?;
    loader.fill_with_programs(&maps, &programs)?;
    loader.pins.keep();
    Ok(Loaded {
        kernel: kernel.clone(),
        image,
        maps: maps.into_iter().map(|made| made.map).collect(),
        programs,
    })
}

struct Loader<'a> {
    open: &'a Open,
    image: &'static Image,
    kernel: &'a Kernel,
    btf: Option<BtfFd>,
    modules: Vec<BtfFd>,
    pins: NewPins<LinuxHost>,
}

impl<'a> Loader<'a> {
    fn new(open: &'a Open, kernel: &'a Kernel) -> Result<Self> {
        let image = open.image;
        let btf = (!image.btf.is_empty()).then(|| {
            kernel.btf_load(&BtfLoad {
                object: image.name,
                bytes: image.btf,
                log_level: LogLevel::OnFailure,
                token: None,
            })
        });
        let mut modules = open_modules(&**kernel, image.modules)?;
        let in_order = image.modules.iter();
        Ok(Self {
            open,
            image,
            kernel,
            btf: btf.transpose()?,
            modules: in_order.filter_map(|name| modules.remove(*name)).collect(),
            pins: NewPins::new(Arc::clone(&kernel.0)),
        })
    }
}
