//! Processes that pin what they attach and are killed: the hook goes on, and another process finds
//! it, reads its map, and takes it off.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use skep::{AttachOptions, Link, Map, PinnedLink, boundary::Errno};
use skep_testing::{
    Bpffs, Cgroup, Outcome, Stop, Test, ensure, eventually, expect_err, in_netns, needs_kernel,
    needs_option,
};

use crate::{
    hooks::{call, connect, datagram, read},
    support::{Running, boundary, host, me, object},
};

/// What an owner is told: the object, the program, the folder for its pins, whom it counts, and
/// where it attaches.
const OWNER: &str = "SKEP_TEST_OWNER";

/// The part that such a process plays.
pub(crate) const PART: &str = "owner";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("faults::a_killed_owners_raw_tracepoint_goes_on", || {
            needs_kernel(5, 8)?;
            goes_on("hooks raw_tp", None, "hits", call)
        }),
        Test::new("faults::a_killed_owners_tracepoint_goes_on", || {
            needs_kernel(5, 15)?;
            goes_on("hooks tracepoint", None, "hits", call)
        }),
        Test::new("faults::a_killed_owners_kprobe_goes_on", || {
            needs_kernel(5, 15)?;
            needs_option("CONFIG_KPROBES")?;
            goes_on("hooks kprobe", None, "hits", read)
        }),
        Test::new("faults::a_killed_owners_typed_tracepoint_goes_on", || {
            needs_kernel(5, 8)?;
            goes_on("hooks tp_btf", None, "hits", call)
        }),
        Test::new("faults::a_killed_owners_cgroup_program_goes_on", || {
            needs_kernel(5, 9)?;
            let cgroup = Cgroup::new()?;
            cgroup.join()?;
            goes_on(
                "hooks cgroup_connect4",
                Some(cgroup.path()),
                "hits",
                connect,
            )
        }),
        Test::new("faults::a_killed_owners_xdp_program_goes_on", || {
            needs_kernel(5, 9)?;
            in_netns(|_| goes_on("network device", None, "at_xdp", to_the_port))
        }),
    ]
}

/// A packet that `network.bpf.c` counts.
fn to_the_port() -> Outcome {
    let socket = std::net::UdpSocket::bind("127.0.0.1:4242")?;
    socket.send_to(b"counted", socket.local_addr()?)?;
    socket.recv_from(&mut [0; 16])?;
    datagram()
}

/// A process that attaches, pins, and waits for its end.
struct Owner(Child);

impl Owner {
    fn start(what: &str, folder: &Path, cgroup: Option<&Path>) -> Outcome<Self> {
        let cgroup = cgroup.map_or("-".into(), |path| path.display().to_string());
        let told = format!("{what} {} {} {cgroup}", folder.display(), me());
        let mut child = Command::new(env::current_exe()?)
            .env(skep_testing::PART, PART)
            .env(OWNER, told)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take();
        let owner = Self(child);
        let mut said = String::new();
        BufReader::new(output.ok_or_else(|| Stop::fail("no pipe"))?).read_line(&mut said)?;
        ensure(said == "attached\n", || format!("the owner said {said:?}"))?;
        Ok(owner)
    }

    /// Kills it, with no chance to do anything more.
    fn kill(mut self) -> Outcome {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It was killed, or the test fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The part of an owner, in a process of its own.
pub(crate) fn own() -> Outcome {
    let told = env::var(OWNER).map_err(|_| Stop::fail(OWNER))?;
    let words: Vec<&str> = told.split(' ').collect();
    let &[source, program, folder, pid, cgroup] = words.as_slice() else {
        return Err(Stop::fail(format!("{OWNER}={told}")));
    };
    let mut object = object(source)?;
    object.only_programs(&[program])?;
    if source == "hooks" {
        object.global("target_pid")?.set_text(pid)?;
    }
    let running = Running::of(object)?;
    let options = AttachOptions {
        cgroup: (cgroup != "-").then(|| cgroup.into()),
        device: (program == "device").then(|| "lo".into()),
        ..AttachOptions::default()
    };
    let link = running.loaded.program(program)?.attach_with(&options)?;
    let folder = Path::new(folder);
    link.pin(&folder.join("link"))?;
    running.data()?.pin(&folder.join("data"))?;
    println!("attached");
    // Until it is killed.
    std::io::stdin().read_line(&mut String::new())?;
    Err(Stop::fail("nobody killed it"))
}

/// What a killed owner left: a link and the data of its program.
struct Left {
    link: PathBuf,
    data: Map,
    offset: usize,
}

impl Left {
    fn count(&self) -> Outcome<u64> {
        let value = self.data.lookup(&0_u32.to_ne_bytes())?.unwrap_or_default();
        let bytes = value.get(self.offset..).and_then(<[u8]>::first_chunk);
        let bytes = bytes.ok_or_else(|| Stop::fail("no such place"))?;
        Ok(u64::from_ne_bytes(*bytes))
    }

    fn open(&self) -> Outcome<PinnedLink> {
        Ok(Link::open_pinned(host().boundary().clone(), &self.link)?)
    }
}

fn goes_on(what: &str, cgroup: Option<&Path>, counter: &str, fire: fn() -> Outcome) -> Outcome {
    let source = what.split(' ').next().unwrap_or_default();
    let object = object(source)?;
    let pins = Bpffs::mount()?;
    Owner::start(what, pins.path(), cgroup)?.kill()?;
    let variable = object
        .spec()
        .variables()
        .iter()
        .find(|known| known.name == counter);
    let left = Left {
        link: pins.path().join("link"),
        data: Map::open_pinned(host().boundary().clone(), &pins.path().join("data"))?,
        offset: variable.map_or(0, |known| known.offset as usize),
    };

    let before = left.count()?;
    for _ in 0..3 {
        fire()?;
    }
    eventually("three more", || Ok(left.count()? >= before + 3))?;
    let link = left.open()?;
    let info = link.info()?;
    let program = boundary().prog_by_id(info.program_id)?;
    let program = program.ok_or_else(|| Stop::fail("the link has no program"))?;
    let name = boundary().prog_info(&program)?.name;
    ensure(what.ends_with(&name), || format!("{name} is attached"))?;
    drop(program);

    // Some kinds can be taken off while they are held.
    let detached = link.detach();
    match (&detached, what) {
        (Ok(()), "hooks cgroup_connect4" | "network device") => quiet(&left, fire)?,
        (Err(error), _) => {
            let skep::Error::Host(refusal) = error else {
                return Err(Stop::fail(error.to_string()));
            };
            let fix = error.fix().unwrap_or_default();
            let said = refusal.errno() == Some(Errno::EOPNOTSUPP) && fix.contains("pins");
            ensure(said, || format!("{error}; {fix}"))?;
            fire()?;
        }
        (Ok(()), _) => return Err(Stop::fail(format!("{what} was detached while pinned"))),
    }
    link.unpin()?;
    eventually("the link's end", || {
        Ok(boundary().link_by_id(info.id)?.is_none())
    })?;
    quiet(&left, fire)?;
    let error = expect_err("a pin that is gone", left.open())?;
    let Stop::Fail(said) = error else {
        return Err(error);
    };
    ensure(said.contains("link"), || said.clone())
}

/// Nothing is counted any more, once what was under way is done.
fn quiet(left: &Left, fire: fn() -> Outcome) -> Outcome {
    eventually("silence", || {
        let before = left.count()?;
        for _ in 0..3 {
            fire()?;
        }
        Ok(left.count()? == before)
    })
}
