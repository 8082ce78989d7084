//! What programs send: records of rings and perf buffers, and lines of the trace.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use skep::{
    Loaded, Map, PerfBuffer, PerfOptions, RingBuffer,
    abi::MapType,
    boundary::{Descriptor, Errno, Host},
    btf::Btf,
};

use super::maps::{chain, list, map, number, record_type};
use crate::{
    failure::Mismatch,
    source::Parsed,
    typed::{Encoder, NoPointers, compare, show, text_mismatch},
    value::{Kind, Value},
};

/// All readers of a session, and what they have read.
#[derive(Debug, Default)]
pub(crate) struct Events {
    perf: BTreeMap<String, PerfBuffer<u8>>,
    rings: BTreeMap<String, RingBuffer<[u8]>>,
    records: BTreeMap<String, Vec<Vec<u8>>>,
    lost: BTreeMap<String, u64>,
    trace: Option<Descriptor>,
    lines: Vec<String>,
}

/// How far a reader of the log has come: what was before it is not its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mark {
    records: BTreeMap<String, usize>,
    lines: usize,
}

impl Events {
    /// Opens what must be open before programs run.
    pub(crate) fn open(loaded: &Loaded, trace: bool) -> skep::Result<Self> {
        let mut events = Self::default();
        for map in loaded.maps() {
            if map.map_type() == Some(MapType::PerfEventArray) {
                let buffer = PerfBuffer::new(Arc::clone(map), PerfOptions::default())?;
                events.perf.insert(map.name().to_owned(), buffer);
            }
        }
        if trace {
            events.trace = Some(loaded.host().boundary().trace_pipe()?);
        }
        Ok(events)
    }

    /// Opens all ring buffers, for those whose records must be taken out while programs run. Others
    /// are opened when something is expected of them.
    pub(crate) fn open_rings(&mut self, loaded: &Loaded) -> skep::Result<()> {
        for map in loaded.maps() {
            if map.map_type() == Some(MapType::Ringbuf) {
                let ring = RingBuffer::<[u8]>::new(Arc::clone(map))?;
                self.rings.insert(map.name().to_owned(), ring);
            }
        }
        Ok(())
    }

    /// Where the log is now.
    pub(crate) fn mark(&mut self, loaded: &Loaded) -> Parsed<Mark> {
        self.read(loaded)?;
        let records = self.records.iter();
        Ok(Mark {
            records: records
                .map(|(name, all)| (name.clone(), all.len()))
                .collect(),
            lines: self.lines.len(),
        })
    }

    /// Takes in what there is.
    fn read(&mut self, loaded: &Loaded) -> Parsed<()> {
        for (name, perf) in &mut self.perf {
            let records = self.records.entry(name.clone()).or_default();
            perf.consume(|_cpu, bytes| {
                records.push(bytes.to_vec());
                ControlFlow::Continue(())
            });
            self.lost.insert(name.clone(), perf.lost());
        }
        for (name, ring) in &mut self.rings {
            let records = self.records.entry(name.clone()).or_default();
            let read = ring.consume(|bytes| {
                records.push(bytes.to_vec());
                ControlFlow::Continue(())
            });
            read.map_err(|error| {
                crate::FileError::new(None, format!("{name}: {}", chain(&error)))
            })?;
        }
        if let Some(trace) = &self.trace {
            read_lines(loaded.host().boundary().as_ref(), trace, &mut self.lines);
        }
        Ok(())
    }

    /// A ring's records since a mark, with the map.
    fn of(
        &mut self,
        loaded: &Loaded,
        name: &str,
        since: &Mark,
        value: &Value,
    ) -> Parsed<(Arc<Map>, &[Vec<u8>])> {
        let map = map(loaded, name, value)?;
        match map.map_type() {
            Some(MapType::Ringbuf) => {
                if !self.rings.contains_key(name) {
                    let ring = RingBuffer::<[u8]>::new(Arc::clone(&map));
                    let ring = ring.map_err(|error| value.error(chain(&error)))?;
                    self.rings.insert(name.to_owned(), ring);
                }
            }
            Some(MapType::PerfEventArray) => {}
            _ => {
                let error = value.error(format!("`{name}` is no ring buffer and no perf buffer"));
                return Err(error.help("what is in other maps is expected as expect.maps"));
            }
        }
        self.read(loaded)?;
        let all = self
            .records
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let from = since.records.get(name).copied().unwrap_or(0);
        Ok((map, all.get(from..).unwrap_or_default()))
    }

    /// Compares records of a ring since a mark with what is expected.
    ///
    /// # Errors
    /// The value is no expectation of it.
    pub(crate) fn check(
        &mut self,
        loaded: &Loaded,
        name: &str,
        expected: &Value,
        since: &Mark,
        constants: Option<&Btf>,
        out: &mut Vec<Mismatch>,
    ) -> Parsed<()> {
        let path = format!("events.{name}");
        let (map, records) = self.of(loaded, name, since, expected)?;
        let of = record_type(&map, records.first().map_or(0, Vec::len));
        if let Kind::Array(wanted) = &expected.kind {
            list(&of, wanted, records, expected, constants, &path, out)?;
        } else {
            expected.only("expectation of events", &["contains", "count"])?;
            if let Some(count) = expected.get("count") {
                number(count, records.len(), &format!("{path}.count"), out)?;
            }
            let wanted = match expected.get("contains") {
                Some(wanted) => wanted.array("an array of records")?,
                None => &[],
            };
            for value in wanted {
                let mut encoder = Encoder {
                    constants,
                    pointers: &mut NoPointers,
                };
                let mut found = false;
                for record in records {
                    let mut differ = Vec::new();
                    compare(&mut encoder, &of, value, record, "", &mut differ)?;
                    found |= differ.is_empty();
                }
                if !found {
                    let shown: Vec<_> = records.iter().take(4).map(|r| show(&of, r)).collect();
                    out.push(Mismatch {
                        path: path.clone(),
                        expected: format!("a record with {value}"),
                        got: match shown.is_empty() {
                            true => "no records".into(),
                            false => shown.join(", "),
                        },
                        place: value.place.clone(),
                    });
                }
            }
        }
        if let Some(lost) = self.lost.get(name).filter(|lost| **lost > 0) {
            out.push(Mismatch {
                path,
                expected: "no lost records".into(),
                got: format!("{lost} lost"),
                place: expected.place.clone(),
            });
        }
        Ok(())
    }

    /// The lines that were printed since a mark.
    pub(crate) fn lines(&mut self, loaded: &Loaded, since: &Mark) -> Parsed<&[String]> {
        self.read(loaded)?;
        Ok(self.lines.get(since.lines..).unwrap_or_default())
    }

    /// Compares the lines since a mark with those that are expected.
    ///
    /// # Errors
    /// The value is no list of lines.
    pub(crate) fn check_lines(
        &mut self,
        loaded: &Loaded,
        expected: &Value,
        since: &Mark,
        out: &mut Vec<Mismatch>,
    ) -> Parsed<()> {
        let lines = self.lines(loaded, since)?;
        let wanted = expected.array("an array of lines")?;
        for index in 0..wanted.len().max(lines.len()) {
            let path = format!("printk[{index}]");
            match (wanted.get(index), lines.get(index)) {
                (Some(wanted), Some(line)) => out.extend(text_mismatch(wanted, line, &path)?),
                (Some(wanted), None) => out.push(Mismatch {
                    path,
                    expected: wanted.to_string(),
                    got: "no line".into(),
                    place: wanted.place.clone(),
                }),
                (None, Some(line)) => out.push(Mismatch {
                    path,
                    expected: "no line".into(),
                    got: format!("{line:?}"),
                    place: expected.place.clone(),
                }),
                (None, None) => {}
            }
        }
        Ok(())
    }
}

/// Takes whole lines off the trace, without what the tracer writes before them.
fn read_lines(host: &dyn Host, trace: &Descriptor, lines: &mut Vec<String>) {
    let mut buffer = vec![0; 8192];
    let mut text = Vec::new();
    loop {
        match host.read(trace, &mut buffer) {
            Ok(0) => break,
            Ok(read) => text.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.errno() == Some(Errno::EAGAIN) => break,
            Err(_) => break,
        }
    }
    for line in String::from_utf8_lossy(&text).lines() {
        let text = line.split_once("bpf_trace_printk: ").map(|(_, text)| text);
        lines.push(text.unwrap_or(line).to_owned());
    }
}
