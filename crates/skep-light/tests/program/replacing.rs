//! A program around two light forms: one's programs take the place of a function of the other's, and
//! trace it.

mod light;
mod patch;

use light::Light;
use patch::Patch;
use skep_light::{
    Kernel, Program, Result, TargetFunction,
    boundary::{Host as _, TestRun},
};

fn main() {
    if let Err(error) = run() {
        println!("error: {error}");
        if let Some(cause) = error.cause() {
            println!("cause: {cause}");
        }
    }
}

fn run() -> Result<()> {
    let kernel = Kernel::new()?;
    let firewall = Light::new().load(&kernel)?;
    let filter = firewall.programs.filter.as_ref().expect("a filter");
    println!("before: {}", answer(filter)?);
    println!("unknown: {}", filter.function("nobody").expect_err("none"));
    println!("untold: {}", Patch::new().load(&kernel).expect_err("no target"));
    // The same by name, and by what the kernel says of a program.
    let by_id = kernel.prog_info(filter.fd())?.id;
    let found = kernel.prog_by_id(by_id)?.expect("a program that is there");
    let loaded = Patch::new()
        .target_nothing_is(filter.function("is_allowed")?)
        .target_after(TargetFunction::entry(&kernel, found)?)
        .load(&kernel)?;
    {
        let _attached = loaded.attach()?;
        println!("replaced: {}", answer(filter)?);
    }
    println!("after: {}", answer(filter)?);
    println!("calls: {}", loaded.global_replaced()?);
    println!("left: {}", loaded.global_left()?);
    Ok(())
}

fn answer(program: &Program) -> Result<u32> {
    let mut run = TestRun {
        data_in: &[0; 64],
        ..TestRun::default()
    };
    Ok(program.test_run(&mut run)?.return_value)
}
