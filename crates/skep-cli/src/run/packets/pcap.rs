//! The packets of a file: `--pcap` and `--out`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use skep::{
    AttachOptions, Link, Loaded,
    vm::{
        Vm,
        capture::{Capture, CaptureError, Format, Record, Writer},
        feed::{FeedOptions, Report},
    },
};

use super::{
    super::{
        Output, RunArgs,
        losses::Losses,
        workload::{Turn, Workload},
    },
    Places, verdicts,
};
use crate::exit::Usage;

/// A capture on its way through the programs.
struct Pcap {
    places: Places,
    vm: Vm,
    path: PathBuf,
    capture: Capture<Box<dyn Read>>,
    out: Option<(PathBuf, Writer<File>)>,
    options: FeedOptions,
    batch: u64,
    report: Report,
    /// Why it ended before its end.
    broken: Option<anyhow::Error>,
}

pub(super) fn of(args: &RunArgs, vm: &Vm) -> anyhow::Result<Box<dyn Workload>> {
    let path = args.packets.pcap.clone().unwrap_or_default();
    let capture = open(&path)?;
    let out = match &args.packets.out {
        None => None,
        Some(out) => Some((out.clone(), create(out, &path, capture.format())?)),
    };
    let mut options = super::feed_options(args);
    options.keep_outputs = out.is_some();
    Ok(Box::new(Pcap {
        places: Places::of(args),
        vm: vm.clone(),
        path,
        capture,
        out,
        options,
        batch: 1,
        report: Report::default(),
        broken: None,
    }))
}

fn open(path: &Path) -> anyhow::Result<Capture<Box<dyn Read>>> {
    let failed = || format!("cannot read {}", path.display());
    let from: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).with_context(failed)?),
    };
    Capture::new(from).with_context(failed)
}

fn create(out: &Path, input: &Path, format: Format) -> anyhow::Result<Writer<File>> {
    if out == Path::new("-") {
        let text = "--out -: what programs say goes to standard output; name a file";
        return Err(Usage(text.into()).into());
    }
    if let (Ok(out), Ok(input)) = (fs::canonicalize(out), fs::canonicalize(input))
        && out == input
    {
        return Err(Usage("--out is the file that --pcap reads; name another one".into()).into());
    }
    // Nanoseconds of the input are not for the name to take away.
    let format = match (Format::of_path(out), format) {
        (Some(Format::Pcap), Format::PcapNanoseconds | Format::PcapNg) => Format::PcapNanoseconds,
        (Some(named), _) => named,
        (None, input) => input,
    };
    let failed = || format!("cannot write {}", out.display());
    let file = File::create(out).with_context(failed)?;
    Writer::new(file, format).with_context(failed)
}

/// Why feeding ended.
enum Broken {
    Capture(CaptureError),
    Out(io::Error),
}

impl From<CaptureError> for Broken {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl Workload for Pcap {
    fn attach(&mut self, loaded: &Loaded, options: &AttachOptions) -> anyhow::Result<Vec<Link>> {
        self.batch = super::batch(loaded);
        self.places.attach(loaded, options)
    }

    fn turn(&mut self) -> anyhow::Result<Turn> {
        let (capture, out) = (&mut self.capture, &mut self.out);
        let batch = self.batch;
        let (fed, report) = self.vm.feed(&self.options, |feed| {
            let fed = feed.capture(capture, batch, |feed, packet, _| {
                let Some((_, writer)) = out else {
                    return Ok(());
                };
                for output in feed.outputs() {
                    let mut record = Record::new(packet.timestamp, output.bytes);
                    record.original_len = output.original_len;
                    writer.write(&record).map_err(Broken::Out)?;
                }
                Ok(())
            });
            (fed, feed.report())
        })?;
        self.report.add(report);
        match fed {
            Ok(count) if count == batch => return Ok(Turn::More),
            Ok(_) => {}
            Err(Broken::Capture(error)) => {
                let context = format!("cannot read {} further", self.path.display());
                self.broken = Some(anyhow::Error::new(error).context(context));
            }
            Err(Broken::Out(error)) => {
                let out = self.out.take();
                let path = out.map(|(path, _)| path).unwrap_or_default();
                let context = format!("cannot write {}", path.display());
                self.broken = Some(anyhow::Error::new(error).context(context));
            }
        }
        Ok(Turn::Ended)
    }

    fn end(&mut self, losses: &mut Losses) -> anyhow::Result<()> {
        verdicts::losses(&self.report, losses);
        losses.say(verdicts::summary(&self.report));
        if let Some((path, writer)) = self.out.take() {
            let count = writer.count();
            writer
                .finish()
                .with_context(|| format!("cannot write {}", path.display()))?;
            losses.say(format!("{count} written to {}", path.display()));
        }
        Ok(())
    }

    fn results(&mut self, output: &mut Output) -> anyhow::Result<()> {
        verdicts::print(&self.report, output)
    }

    fn failure(&mut self) -> Option<anyhow::Error> {
        self.broken.take()
    }
}
