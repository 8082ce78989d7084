//! `--tap`: a command in a network of its own, whose packets the virtual machine's device gets.
//!
//! Skep starts itself under the hidden name [`NETWORKED`], with a socket as standard input. That
//! process makes the network and its device, hands the device over and, when it is told to, becomes
//! the command, with the standard input that it was given in return.

use std::{
    env,
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::Ipv4Addr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
    process::{Pid, Signal, kill_process},
};
use signal_hook::consts::SIGCHLD;
use skep::{
    AttachOptions, Link, Loaded,
    boundary::{Cause, Errno, Error},
    vm::{
        Frame, Vm,
        feed::{FeedOptions, Report, Way},
        tap::{Tap, TapError, enter_own_network},
    },
};

use super::{
    super::{
        Format, Output, RunArgs,
        losses::Losses,
        stop::Stop,
        workload::{LONGEST_SLEEP, Turn, Workload},
    },
    Places, verdicts,
};
use crate::exit::{self, Exit, Usage};

/// The sub-command that makes a network and becomes a command in it.
pub(crate) const NETWORKED: &str = "__networked";

/// How long a command has to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest packet of the device, with a header and a tag.
const LONGEST: usize = 65536 + 18;
/// Packets that are fed before others look at what programs have sent.
const BATCH: usize = 64;

/// An address with the bits of its network: `10.7.0.1/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    address: Ipv4Addr,
    prefix: u8,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let address = parts.and_then(|(address, prefix)| {
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            let address = address.parse().ok()?;
            Some(Self { address, prefix })
        });
        address.ok_or_else(|| "write it as 10.7.0.1/24".to_owned())
    }
}

/// The command, and what feeds the machine with its packets.
struct Network {
    places: Places,
    vm: Vm,
    options: FeedOptions,
    child: Child,
    link: UnixStream,
    tap: Arc<Tap>,
    feeder: Option<Feeder>,
    status: Option<ExitStatus>,
    counts: Arc<Mutex<Counts>>,
}

/// What became of the packets.
#[derive(Debug, Default)]
struct Counts {
    report: Report,
    /// Packets that the device did not take.
    refused: u64,
    /// Why feeding ended by itself.
    broken: Option<anyhow::Error>,
}

/// The thread that feeds.
struct Feeder {
    thread: JoinHandle<()>,
    /// Closed, it ends.
    stop: UnixStream,
}

pub(super) fn of(args: &RunArgs, vm: &Vm, stop: &Stop) -> anyhow::Result<Box<dyn Workload>> {
    if args.command.is_empty() {
        let text = "--tap: whose packets? Name a command, as in `--tap -- ping 10.7.0.2`";
        return Err(Usage(text.into()).into());
    }
    let name = args.packets.tap.clone().unwrap_or_default();
    let (mut child, link) = start(args, &name)?;
    let tap = match receive(&link) {
        Ok((_, Some(tap))) => tap,
        Ok((said, None)) => {
            let _ = child.wait();
            return Err(refused(&said));
        }
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(anyhow::Error::new(error).context("cannot start the command's network"));
        }
    };
    stop.wake_by(SIGCHLD)?;
    let mut options = super::feed_options(args);
    options.way = Way::Received;
    options.keep_outputs = true;
    Ok(Box::new(Network {
        places: Places::of(args),
        vm: vm.clone(),
        options,
        child,
        link,
        tap: Arc::new(Tap::from_descriptor(tap)?),
        feeder: None,
        status: None,
        counts: Arc::default(),
    }))
}

/// Starts the process that makes the network; answers the socket to it.
fn start(args: &RunArgs, name: &str) -> anyhow::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let skep = env::current_exe().context("cannot find this program's own file")?;
    let address = args.packets.tap_address;
    let child = Command::new(skep)
        .arg(NETWORKED)
        .arg(name)
        .arg(format!("{}/{}", address.address, address.prefix))
        .args(&args.command)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(match args.format {
            Format::Table => Stdio::inherit(),
            Format::Json => io::stderr().into(),
        })
        .spawn()
        .with_context(|| format!("cannot start `{}`", args.command[0].display()))?;
    send(&ours, &[0], Some(io::stdin().as_fd()))?;
    Ok((child, ours))
}

/// What the process said before it ended: a number, what failed, what helps.
fn refused(said: &[u8]) -> anyhow::Error {
    let said = String::from_utf8_lossy(said);
    let mut lines = said.lines();
    let (Some(errno), Some(what), Some(fix)) = (lines.next(), lines.next(), lines.next()) else {
        return anyhow!("cannot start the command's network: its process ended");
    };
    let errno = Errno(errno.parse().unwrap_or_default());
    let cause = Cause::Process {
        what: what.to_owned(),
        fix: fix.to_owned(),
    };
    Error::system("make", "a network for the command (--tap)", errno)
        .because(Some(cause))
        .into()
}

/// Sends bytes, and a descriptor with them.
fn send(to: impl AsFd, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        with.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(to, &[IoSlice::new(bytes)], &mut with, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives what [`send`] sent.
fn receive(from: impl AsFd) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = vec![0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(from, &mut slices, &mut with, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptor = None;
    for message in with.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            descriptor = descriptors.next();
        }
    }
    bytes.truncate(received.bytes);
    Ok((bytes, descriptor))
}

/// What the hidden sub-command does.
pub(crate) fn become_networked(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let link = io::stdin();
    let (name, address) = (words.next(), words.next());
    let prepared = match (name, address, words.next()) {
        (Some(name), Some(address), Some(program)) => prepare(&name, &address)
            .map(|(tap, stdin)| (tap, stdin, program))
            .map_err(|error| format!("{}\n{error}\n{}", error.number(), error.fix())),
        _ => Err("22\nno words\nit is for skep alone".to_owned()),
    };
    let (tap, stdin, program) = match prepared {
        Ok(prepared) => prepared,
        Err(said) => {
            // Where nobody listens any more, there is nobody to tell.
            let _ = send(&link, said.as_bytes(), None);
            return Exit::Failed.into();
        }
    };
    let mut go = [0];
    let told = send(&link, &[1], Some(tap.as_fd())).and_then(|()| io::stdin().read_exact(&mut go));
    if told.is_err() {
        // Skep has ended before the command was to begin.
        return Exit::Failed.into();
    }
    let mut command = Command::new(&program);
    command.args(words);
    command.stdin(stdin.map_or_else(Stdio::null, Stdio::from));
    let error = command.exec();
    say!("error: cannot run `{}`: {error}", program.display());
    match error.kind() {
        io::ErrorKind::NotFound => Exit::NoCommand.into(),
        _ => Exit::NotExecutable.into(),
    }
}

/// Takes the standard input that is the command's, and makes network and device.
fn prepare(name: &OsString, address: &OsString) -> Result<(OwnedFd, Option<OwnedFd>), TapError> {
    let namespace = |error| TapError::Namespace { error };
    let (_, stdin) = receive(io::stdin()).map_err(namespace)?;
    enter_own_network()?;
    let address = address.to_string_lossy().parse::<Address>();
    let address = address.map_err(|said| namespace(io::Error::other(said)))?;
    let tap = Tap::open(&name.to_string_lossy(), address.address, address.prefix)?;
    Ok((tap.into_descriptor(), stdin))
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workload for Network {
    fn attach(&mut self, loaded: &Loaded, options: &AttachOptions) -> anyhow::Result<Vec<Link>> {
        self.places.attach(loaded, options)
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let (stop, stopped) = UnixStream::pair()?;
        let (vm, tap, options) = (self.vm.clone(), Arc::clone(&self.tap), self.options.clone());
        let counts = Arc::clone(&self.counts);
        let thread = thread::Builder::new()
            .name("tap".into())
            // What programs take; see `Vm`.
            .stack_size(2 << 20)
            .spawn(move || {
                if let Err(error) = feed(&vm, &options, &tap, &stopped, &counts) {
                    lock(&counts).broken = Some(error);
                }
            })?;
        self.feeder = Some(Feeder { thread, stop });
        self.link
            .write_all(&[1])
            .context("cannot start the command")
    }

    fn turn(&mut self) -> anyhow::Result<Turn> {
        self.status = self.child.try_wait()?;
        let broken = lock(&self.counts).broken.is_some();
        Ok(match self.status {
            None if !broken => Turn::Wait(LONGEST_SLEEP),
            _ => Turn::Ended,
        })
    }

    fn end(&mut self, losses: &mut Losses) -> anyhow::Result<()> {
        self.stop_feeding();
        super::super::command::say_end(self.status);
        let counts = lock(&self.counts);
        verdicts::losses(&counts.report, losses);
        losses.say(verdicts::summary(&counts.report));
        if counts.refused > 0 {
            losses.say(format!(
                "{} packets were not taken by the device",
                counts.refused
            ));
        }
        Ok(())
    }

    fn results(&mut self, output: &mut Output) -> anyhow::Result<()> {
        verdicts::print(&lock(&self.counts).report, output)
    }

    fn failure(&mut self) -> Option<anyhow::Error> {
        lock(&self.counts).broken.take()
    }

    fn exit_code(&self) -> ExitCode {
        self.status.map_or(ExitCode::SUCCESS, exit::of_command)
    }
}

impl Network {
    fn stop_feeding(&mut self) {
        if let Some(Feeder { thread, stop }) = self.feeder.take() {
            drop(stop);
            // A panic has been told of already.
            let _ = thread.join();
        }
    }
}

impl Drop for Network {
    /// The command's network goes, and so must the command.
    fn drop(&mut self) {
        self.stop_feeding();
        let pid = Pid::from_child(&self.child);
        if matches!(self.child.try_wait(), Ok(Some(_))) || kill_process(pid, Signal::TERM).is_err()
        {
            return;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Best effort: it may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Feeds the machine what the device has, and the device what the machine sends, until `stopped`
/// is closed.
fn feed(
    vm: &Vm,
    options: &FeedOptions,
    tap: &Tap,
    stopped: &UnixStream,
    counts: &Mutex<Counts>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; LONGEST];
    loop {
        let mut files = [
            PollFd::new(tap, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        match poll(&mut files, None) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        // What it still has is fed before it ends.
        let ends = !files[1].revents().is_empty();
        let batch = vm.feed(options, |feed| {
            let (mut refused, mut count) = (0, 0);
            while count < BATCH
                && let Some(len) = tap.read(&mut buffer)?
            {
                count += 1;
                let mut frame = Frame::new(&buffer[..len]);
                frame.ifindex = options.ifindex;
                feed.packet(&frame);
                let sent = feed.outputs();
                for output in sent.filter(|output| output.device == Some(options.ifindex)) {
                    refused += u64::from(tap.write(output.bytes).is_err());
                }
            }
            Ok::<_, io::Error>((feed.report(), refused, count))
        })?;
        let (report, refused, count) = batch.context("cannot read from the command's device")?;
        let mut counts = lock(counts);
        counts.report.add(report);
        counts.refused += refused;
        if ends && count < BATCH {
            return Ok(());
        }
    }
}
