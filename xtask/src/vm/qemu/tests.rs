//! Machines that end in every way there is: such that are shell scripts, and a real one.

use skep_testing::guest;

use super::*;
use crate::vm::suites;

#[test]
fn versions_are_read() {
    let said = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
    assert_eq!(version(said), Some(10));
    assert_eq!(version("sh: not found"), None);
}

fn folder(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A machine that is a shell script: `$1` is its console.
fn scripted(name: &str, script: &str) -> (Ending, Vec<Line>) {
    let folder = folder(name);
    let console = folder.join("console");
    let mut machine = Command::new("sh");
    machine.args(["-c", script, "sh"]).arg(&console);
    let mut lines = Vec::new();
    let silence = Duration::from_secs(2);
    let ending = watch(machine, &console, silence, &mut |line| lines.push(line));
    fs::remove_dir_all(folder).unwrap();
    (ending.unwrap(), lines)
}

#[test]
fn ends_are_told_apart() {
    let said = "echo alive; echo 'out test x ... ok'; echo Booting from ROM...";
    let panics = "echo '[ 1.0] Kernel panic - not syncing: sysrq triggered crash' > \"$1\"";
    let panic = Ending::Panic("[ 1.0] Kernel panic - not syncing: sysrq triggered crash".into());
    for (name, script, ending) in [
        ("done", "echo end", Ending::Done),
        (
            "gone",
            "echo no such CPU >&2",
            Ending::Gone("no such CPU".into()),
        ),
        ("silent", "exec sleep 60", Ending::Silent(2)),
        // Its end was announced, and does not come.
        ("late", "echo end; exec sleep 60", Ending::Silent(2)),
        ("panic", panics, panic.clone()),
        (
            "panic-hangs",
            &format!("{panics}; exec sleep 60"),
            panic.clone(),
        ),
        ("panic-at-the-end", &format!("{panics}; echo end"), panic),
    ] {
        let (ended, lines) = scripted(name, &format!("{said}; {script}"));
        assert_eq!(ended, ending, "{name}");
        let first = [Line::Alive, Line::Out("test x ... ok".into())];
        assert_eq!(lines[..2], first, "{name}");
        assert_eq!(ended.trouble("after x").is_none(), ended == Ending::Done);
    }
    let (ended, lines) = scripted("oops", "echo 'Oops: 0002 [#1]' > \"$1\"; echo end");
    assert_eq!(ended, Ending::Done);
    assert_eq!(lines, [Line::Note("console: Oops: 0002 [#1]".into())]);
}

/// A kernel of Debian's, if `cargo xtask vm` has fetched one: nothing is fetched for this.
fn fetched() -> Option<(Qemu, Kernel)> {
    let debian = Debian::open().ok()?;
    let there = |name| debian.folder(name).exists();
    if !there("linux-image-5.10.0-_-cloud-amd64") || !there("qemu-system-x86") {
        return None;
    }
    Some((
        Qemu::find(&debian).ok()?,
        Kernel::fetch(&debian, "5.10").ok()?,
    ))
}

/// Commands of a real machine: one that ends with a code, one that is killed, one that is not there,
/// one that hangs, and one that has the kernel panic.
#[test]
fn a_real_machine_hangs_and_panics() {
    let Some((qemu, kernel)) = fetched() else {
        skep_testing::lacks("a kernel that `cargo xtask vm` has fetched");
        return;
    };
    let command = |script: &str, patience| guest::Command {
        folder: "/".into(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        words: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        patience,
    };
    let missing = guest::Command {
        words: vec!["/no/such/program".into()],
        ..command("", None)
    };
    let commands = [
        command("echo said; echo wrong >&2; exit 3", None),
        command("kill -9 $$", None),
        missing,
        command("echo waiting; sleep 3600", Some(4)),
        command("echo c > /proc/sysrq-trigger", None),
    ];
    let folder = folder("machine");
    let (archive, console) = (folder.join("cpio"), folder.join("console"));
    let files = suites::guest(&commands, &folder).unwrap();
    fs::write(&archive, files.archive()).unwrap();
    let mut lines = Vec::new();
    let ending = qemu.run(&kernel, &archive, &console, &mut |line| lines.push(line));
    fs::remove_dir_all(folder).unwrap();
    let ends: Vec<&Line> = lines
        .iter()
        .filter(|line| matches!(line, Line::Exit(_) | Line::Hung(_)))
        .collect();
    let wanted = [
        Line::Exit(3),
        Line::Exit(-9),
        Line::Exit(127),
        Line::Hung(4),
    ];
    assert_eq!(ends, wanted.iter().collect::<Vec<_>>(), "{lines:?}");
    for line in [
        Line::Out("said".into()),
        Line::Err("wrong".into()),
        Line::Begin(4),
    ] {
        assert!(lines.contains(&line), "{line:?} is not in {lines:?}");
    }
    let ending = ending.unwrap();
    let panicked = matches!(&ending, Ending::Panic(text) if text.contains("sysrq"));
    assert!(panicked, "{ending:?}: {lines:?}");
}
