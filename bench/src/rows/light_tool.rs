//! The tool of `start_tool.rs` in light form: loads, attaches, says so, waits. `light.c` is the same
//! with libbpf's light skeleton.

/// Written by `light.rs`.
#[allow(dead_code, unused_imports, clippy::all, clippy::pedantic, missing_docs)]
mod form {
    include!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/tools/start_light.rs"
    ));
}

use std::io::{Read as _, stdin};

fn main() -> Result<(), skep_light::Error> {
    let loaded = form::Start::new().load(&skep_light::Kernel::new()?)?;
    let _links = loaded.attach()?;
    let _events = loaded.maps.events.ring()?;
    println!("ready");
    let _ = stdin().read(&mut [0]);
    Ok(())
}
