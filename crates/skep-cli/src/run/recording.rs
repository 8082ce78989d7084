//! `skep run --record FILE`: programs are made to write down what they see, and that goes to the
//! file while they run.

use std::{
    fs::{File, OpenOptions},
    io::BufWriter,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use skep::{
    Host, LoadOptions, Loaded, Object,
    recording::{Header, Instrumented, Lost, RecordOptions, Recorder},
};

use super::{RunArgs, cells::Context};
use crate::{cli::Global, input};

/// How often what was recorded is fetched: the ring must not fill in between.
pub(crate) const EVERY: Duration = Duration::from_millis(20);

/// A recording of this run.
pub(crate) struct Recording {
    path: PathBuf,
    program: PathBuf,
    object: Vec<u8>,
    host: String,
    version: u32,
    cpus: u32,
    instrumented: Instrumented,
    recorder: Option<Recorder<BufWriter<File>>>,
}

/// Prepares a recording, if one is asked for.
pub(crate) fn prepare(
    args: &RunArgs,
    object: &Object,
    host: &Host,
    global: &Global,
) -> anyhow::Result<Option<Recording>> {
    let Some(path) = &args.record else {
        return Ok(None);
    };
    let cpus = u32::try_from(host.boundary().possible_cpus()?).unwrap_or(u32::MAX);
    Ok(Some(Recording {
        path: path.clone(),
        program: args.program().to_owned(),
        object: input::bytes(args.program(), &args.compile, global)?,
        host: host.info().to_string(),
        version: host.info().version.code(),
        cpus,
        instrumented: Instrumented::new(object, host, &RecordOptions::new(cpus))?,
        recorder: None,
    }))
}

impl Recording {
    /// Loads the programs that record.
    pub(crate) fn load(
        &self,
        object: &Object,
        host: &Host,
        options: &LoadOptions,
    ) -> anyhow::Result<Loaded> {
        Ok(object.load_image(host, options, self.instrumented.image().clone())?)
    }

    /// Begins the file; before anything is attached.
    pub(crate) fn begin(&mut self, loaded: &Loaded, context: Context<'_>) -> anyhow::Result<()> {
        // Programs may have seen what is not for everybody.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options
            .open(&self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let header = Header {
            program: self.program.display().to_string(),
            host: self.host.clone(),
            version: self.version,
            cpus: self.cpus,
            began: began.map_or(0, |since| {
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            }),
            zero: context.began(),
            ..Header::default()
        };
        let to = BufWriter::with_capacity(1 << 20, file);
        self.recorder = Some(Recorder::begin(
            &self.instrumented,
            loaded,
            header,
            &self.object,
            to,
        )?);
        Ok(())
    }

    /// Fetches what was recorded since.
    pub(crate) fn drain(&mut self) -> anyhow::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.drain()?;
        }
        Ok(())
    }

    /// Ends the file, and says what is in it; when nothing is attached any more.
    pub(crate) fn end(&mut self, context: Context<'_>) -> anyhow::Result<()> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        recorder.end(&context.symbols().given())?;
        say!("{}", summary(recorder, &self.path));
        Ok(())
    }
}

fn summary(recorder: &Recorder<BufWriter<File>>, path: &Path) -> String {
    let Lost { full, deep, .. } = recorder.lost();
    let events = recorder.events();
    let mut text = format!(
        "recorded {events} event{} in {} ({})",
        if events == 1 { "" } else { "s" },
        path.display(),
        size(recorder.bytes()),
    );
    if full > 0 {
        text += &format!("; {full} lost: the ring was full");
    }
    if deep > 0 {
        text += &format!("; {deep} lost: they interrupted two others");
    }
    text
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
