//! Loads objects without attaching them, and says of each whether the kernel takes it, and what
//! it is too old for: `cargo run -p skep --example load -- *.bpf.o`.

use skep::{Host, Object};

fn main() -> skep::Result<()> {
    let host = Host::auto()?;
    let mut refused = 0;
    for path in std::env::args().skip(1) {
        match Object::open(&path).and_then(|object| object.load(&host)) {
            Ok(loaded) => {
                println!("{path}: {} programs", loaded.programs().len());
                for downgrade in loaded.downgrades() {
                    println!("    downgraded: {downgrade}");
                }
                if let Some(refusal) = loaded.refused_btf() {
                    println!("    without types: {refusal}");
                }
            }
            Err(error) => {
                refused += 1;
                println!("{path}: {error}");
                if let Some(cause) = error.cause() {
                    println!("    cause: {cause}");
                }
            }
        }
    }
    println!("{refused} refused");
    Ok(())
}
