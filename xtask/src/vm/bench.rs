//! The bench on another kernel than this machine's: what its rows need is built here and measured in
//! the machine.

use std::{fs, path::Path};

use skep_testing::{Debian, guest, guest::Line};

use super::{archive, kernel::Kernel, qemu::Qemu, stopped, suites};
use crate::{Result, root};

/// Seconds of a row in an emulated machine, which says nothing meanwhile.
const PATIENCE: u64 = 900;

/// Measures what was built in `bench/target/tools`, and prints the table.
///
/// With `counting`, time there is the instructions that are executed, one a nanosecond: the figures
/// of two runs are the same, whatever else this machine does.
pub(crate) fn run(version: &str, arguments: &[String], counting: bool) -> Result<()> {
    let folder = root().join("target/vm");
    fs::create_dir_all(&folder)?;
    let debian = Debian::open().map_err(stopped)?;
    let qemu = Qemu::find(&debian).map_err(stopped)?.counting(counting);
    let kernel = Kernel::fetch(&debian, version).map_err(stopped)?;
    let tools = root().join("bench/target/tools");
    let driver = tools.join("skep-bench-skep");
    let words = [driver.display().to_string(), "--built".into()];
    let command = guest::Command {
        folder: tools.clone(),
        environment: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
        words: words.into_iter().chain(arguments.iter().cloned()).collect(),
        patience: Some(PATIENCE),
    };
    let mut files = suites::guest(&[command], &folder)?;
    for entry in fs::read_dir(&tools)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_runner(&name) {
            files.copy_as(&path, &suites::stripped(&path, &folder)?)?;
            files.libraries(&path)?;
        } else if name.ends_with(".bpf.o") || name.ends_with(".so") {
            files.copy(&path)?;
        }
    }
    let place = folder.join(format!("{version}.bench.cpio"));
    fs::write(&place, archive(&files, &kernel)?)?;
    let console = folder.join(format!("{version}.bench.console"));
    let mut code = None;
    let ending = qemu.run(&kernel, &place, &console, &mut |line| match line {
        Line::Out(text) => println!("{text}"),
        Line::Err(text) | Line::Note(text) => eprintln!("{text}"),
        Line::Hung(seconds) => eprintln!("said nothing for {seconds} seconds and was killed"),
        Line::Exit(number) => code = Some(number),
        Line::Begin(_) | Line::Alive | Line::End => {}
    })?;
    match (ending.trouble("in the bench"), code) {
        (Some(text), _) => Err(format!("Linux {version}: {text}").into()),
        (None, Some(0)) => Ok(()),
        (None, _) => Err(format!("Linux {version}: the bench failed").into()),
    }
}

/// A peer's runner; the tools whose start is measured stay here.
fn is_runner(name: &str) -> bool {
    let here = Path::new(name).extension().is_none();
    here && (name.starts_with("libbpf-") || name.starts_with("skep-bench-"))
}
