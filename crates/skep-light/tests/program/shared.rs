//! A program around a light form whose map is pinned: two loads count in one map, and what is no such
//! map is an error. Its argument is a folder in a bpffs.

mod light;

use std::path::Path;

use light::Light;
use skep_light::{Kernel, Result, boundary::TestRun};

fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    if let Err(error) = run(Path::new(&folder)) {
        println!("error: {error}");
    }
}

fn run(folder: &Path) -> Result<()> {
    let kernel = Kernel::new()?;
    for _ in 0..2 {
        let mut light = Light::new();
        light.open.set_pin_folder(folder);
        let loaded = light.load(&kernel)?;
        let count = loaded.programs.count.as_ref();
        let ran = count.map(|count| count.test_run(&mut TestRun::default()));
        println!("count: {:?}", ran.transpose()?.map(|ran| ran.return_value));
    }
    // Of another shape, and as another thing.
    let mut light = Light::new();
    light.open.set_pin_folder(folder);
    light.resize_shared(8);
    println!("larger: {}", light.load(&kernel).expect_err("a map of 4"));
    let mut light = Light::new();
    light.open.set_pin_folder("/proc/self");
    println!("elsewhere: {}", light.load(&kernel).is_err());
    Ok(())
}
