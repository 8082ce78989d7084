//! Compiles sources through the cache and says how long each took: for measurements, and to see
//! what the library does without the rest of Skep.

use std::time::Instant;

fn main() {
    for source in std::env::args_os().skip(1) {
        let start = Instant::now();
        match skep_build::Build::new(source).cached() {
            Ok(built) => {
                eprint!("{}", built.warnings);
                let how = if built.from_cache { "kept" } else { "made" };
                println!(
                    "{how} in {:.1?}: {}",
                    start.elapsed(),
                    built.object.display()
                );
            }
            Err(error) => eprintln!("{error}"),
        }
    }
}
