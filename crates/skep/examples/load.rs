//! Loads objects without attaching them, and says of each whether the kernel takes it:
//! `cargo run -p skep --example load -- *.bpf.o`.

use skep::{Host, Object};

fn main() -> skep::Result<()> {
    let host = Host::auto()?;
    let mut refused = 0;
    for path in std::env::args().skip(1) {
        match Object::open(&path).and_then(|object| object.load(&host)) {
            Ok(loaded) => println!("{path}: {} programs", loaded.programs().len()),
            Err(error) => {
                refused += 1;
                println!("{path}: {error}");
            }
        }
    }
    println!("{refused} refused");
    Ok(())
}
