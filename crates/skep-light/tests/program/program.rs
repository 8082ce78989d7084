//! A program around a light form, which the tests compile beside it: it loads, fires and reads.
//! Also run for what a load costs: `program time`.

mod light;

use std::{ops::ControlFlow, time::Duration};

use light::Light;
use skep_light::{Kernel, Result};

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
    let me = std::process::id();
    let mut open = Light::new();
    open.set_target_pid(me as i32)
        .set_word(*b"new\0")
        .set_numbers([10, 20, 12])
        .set_loud(true)
        .resize_events(8192);
    let loaded = open.load(&kernel)?;
    println!("ring: {}", kernel_info(&loaded.maps.events)?);
    {
        let entered = loaded.programs.entered.as_ref();
        let _attached = entered.map(|program| program.attach()).transpose()?;
        let mut ring = loaded.maps.events.ring()?;
        for _ in 0..3 {
            let _ = std::os::unix::process::parent_id();
        }
        let came = ring.wait(Some(Duration::from_secs(5)))?;
        let count = ring.consume(|event| {
            println!("event: {event:?}");
            ControlFlow::Continue(())
        })?;
        println!("came: {came} {count}");
    }
    let seen = loaded.global_seen()?;
    let _ = std::os::unix::process::parent_id();
    println!("seen: {seen}, then {}", loaded.global_seen()?);
    println!("offset: {}", loaded.global_offset()?);
    let first = loaded.maps.first.lookup(&0_u32.to_ne_bytes())?;
    println!("first: {:?}", first.map(|value| value[0]));
    // Without one, and again.
    let loaded = open.leave_out_rest().load(&kernel)?;
    println!("rest: {}", loaded.programs.rest.is_some());
    Ok(())
}

fn kernel_info(map: &skep_light::Map) -> Result<u32> {
    use skep_light::boundary::Host as _;
    Ok(map.kernel().map_info(map.fd())?.max_entries)
}
