//! A program around a light form whose variables are in an arena: they are set before the load, the
//! program follows pointers to them, and they are read after.

mod light;

use light::Light;
use skep_light::{Kernel, Result, boundary::TestRun};

fn main() {
    if let Err(error) = run() {
        println!("error: {error}");
    }
}

fn run() -> Result<()> {
    let kernel = Kernel::new()?;
    let mut light = Light::new();
    light.set_sum_in_arena(5);
    let loaded = light.load(&kernel)?;
    let walk = loaded.programs.walk.as_ref();
    let ran = walk.map(|walk| walk.test_run(&mut TestRun::default()));
    println!("walk: {:?}", ran.transpose()?.map(|ran| ran.return_value));
    println!("sum: {}", loaded.global_sum_in_arena()?);
    // A pointer of the program's leads to the same item here.
    let arena = loaded.maps.arena.arena().expect("an arena");
    let place = arena.offset_of(loaded.global_first()?).expect("a pointer into it");
    let mut number = [0; 8];
    arena.read(place + 8, &mut number).expect("an item");
    println!("number: {}", u64::from_ne_bytes(number));
    // In a smaller one they lie elsewhere, and in one that is too small nowhere.
    let loaded = light.resize_arena(3).load(&kernel)?;
    println!("smaller: {}", loaded.global_sum_in_arena()?);
    println!("none: {}", light.resize_arena(1).load(&kernel).expect_err("a page"));
    Ok(())
}
