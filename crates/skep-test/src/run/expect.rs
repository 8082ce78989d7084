//! What is expected of a session, after a step or at the end.

use std::sync::Arc;

use skep::{abi::ProgramType, vm::Redirect};

use super::{
    context::compare_context,
    events::Mark,
    fire::Fired,
    maps,
    session::{Session, variable},
};
use crate::{
    definition::{Expect, Step},
    failure::Mismatch,
    packet,
    source::{FileError, Parsed},
    typed::{Encoder, NoPointers, Plain, Type, compare, constant, errno_by_name, text_mismatch},
    value::{Entry, Kind, Value},
};

impl Session {
    /// Compares what there is with what is expected: of the last run (`step`), and of what was
    /// sent since `since`.
    ///
    /// # Errors
    /// The expectation says what can't be.
    pub(crate) fn check(
        &mut self,
        expect: &Expect,
        step: Option<&Step>,
        since: &Mark,
        out: &mut Vec<Mismatch>,
    ) -> Parsed<()> {
        let fired = self.last.clone();
        if let Some(fired) = &fired {
            self.check_fault(expect, fired, step, out)?;
        }
        for text in std::mem::take(&mut self.timer_faults) {
            out.push(Mismatch {
                path: "fault".into(),
                expected: "none of a timer's callback".into(),
                got: text,
                place: None,
            });
        }
        let Some(table) = &expect.0 else {
            return Ok(());
        };
        for entry in table.entries("a table of expectations")? {
            self.check_one(entry, fired.as_ref(), step, since, out)?;
        }
        Ok(())
    }

    /// The same after the last step: of all that was sent since the beginning. Faults have been
    /// told of by their steps.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn check_end(
        &mut self,
        expect: &Expect,
        last: Option<&Step>,
        out: &mut Vec<Mismatch>,
    ) -> Parsed<()> {
        let fired = self.last.clone();
        for entry in expect
            .0
            .iter()
            .flat_map(|table| table.entries("a table"))
            .flatten()
        {
            self.check_one(entry, fired.as_ref(), last, &Mark::default(), out)?;
            if entry.name == "fault" {
                let got = fired.as_ref().and_then(|fired| fired.result.as_ref().err());
                let got = got.map_or_else(|| "none".into(), |fault| self.fault_text(fault));
                out.extend(said(&entry.value, &got, "fault")?);
            }
        }
        Ok(())
    }

    fn check_one(
        &mut self,
        entry: &Entry,
        fired: Option<&Fired>,
        step: Option<&Step>,
        since: &Mark,
        out: &mut Vec<Mismatch>,
    ) -> Parsed<()> {
        let value = &entry.value;
        let btf = self.prepared.btf().map(Arc::clone);
        let constants = btf.as_deref();
        let ran = || {
            let what = format!("no program ran whose {} could be expected", entry.name);
            fired.ok_or_else(|| FileError::new(entry.place.clone(), what))
        };
        match entry.name.as_str() {
            "return" => {
                let fired = ran()?;
                if let Ok(got) = fired.result {
                    check_return(fired.kind, value, got, constants, out)?;
                }
                Ok(())
            }
            "packet" => {
                let fired = ran()?;
                if fired.result.is_err() {
                    return Ok(());
                }
                packet::compare(
                    value,
                    &fired.given,
                    &fired.packet,
                    &self.prepared.folder,
                    out,
                )
            }
            "context" => {
                let fired = ran()?;
                // A fault is told of by itself.
                if fired.result.is_err() {
                    return Ok(());
                }
                let named = step.and_then(|step| step.program.as_ref());
                let name = named.map(|(name, _)| name.as_str());
                let of = self.prepared.program(name, entry.place.as_ref())?;
                let layout = self.layout(of);
                // A dissector's answer is what it found.
                let got = match fired.kind {
                    ProgramType::FlowDissector => &fired.packet,
                    _ => &fired.context,
                };
                compare_context(&layout, value, got, &fired.lent, constants, out)
            }
            "maps" => {
                for entry in value.entries("a table of maps")? {
                    let named = placed(entry);
                    maps::check(&self.loaded, &entry.name, &named, constants, out)?;
                }
                Ok(())
            }
            "events" => {
                for entry in value.entries("a table of rings")? {
                    let named = placed(entry);
                    self.events
                        .check(&self.loaded, &entry.name, &named, since, constants, out)?;
                }
                Ok(())
            }
            "globals" => {
                for entry in value.entries("a table of variables")? {
                    let (variable, of) =
                        variable(&self.prepared, &entry.name, entry.place.as_ref())?;
                    let bytes = self.loaded.global(variable).map_err(|error| {
                        FileError::new(entry.place.clone(), maps::chain(&error))
                    })?;
                    let mut encoder = Encoder {
                        constants,
                        pointers: &mut NoPointers,
                    };
                    let path = format!("globals.{}", entry.name);
                    compare(&mut encoder, &of, &entry.value, &bytes, &path, out)?;
                }
                Ok(())
            }
            "printk" => self.events.check_lines(&self.loaded, value, since, out),
            "output" => {
                let Some(output) = &ran()?.output else {
                    return Err(value.error("only iterators have an output"));
                };
                check_output(value, output, out)
            }
            "retval" => number(value, i128::from(ran()?.retval), "retval", out),
            "override" => {
                let got = ran()?.overridden;
                match got {
                    Some(got) => number(value, i128::from(got as i64), "override", out),
                    None => {
                        out.push(Mismatch {
                            path: "override".into(),
                            expected: value.to_string(),
                            got: "the function runs".into(),
                            place: value.place.clone(),
                        });
                        Ok(())
                    }
                }
            }
            "redirect" => match &ran()?.redirect {
                Some(redirect) => check_redirect(value, *redirect, out),
                None => Ok(()),
            },
            // Of faults and refusals others have told.
            _ => Ok(()),
        }
    }

    fn check_fault(
        &self,
        expect: &Expect,
        fired: &Fired,
        step: Option<&Step>,
        out: &mut Vec<Mismatch>,
    ) -> Parsed<()> {
        let got = fired
            .result
            .as_ref()
            .err()
            .map(|fault| self.fault_text(fault));
        match (expect.of("fault"), got) {
            (None, None) => {}
            // Of a fault before this step that step has told.
            (None, Some(_)) if step.is_none_or(|step| !step.runs) => {}
            (None, Some(got)) => out.push(Mismatch {
                path: "fault".into(),
                expected: "none".into(),
                got,
                place: step.and_then(|step| step.place.clone()),
            }),
            (Some(expected), None) => {
                let wanted = !matches!(expected.kind, Kind::Bool(false));
                if wanted {
                    out.push(Mismatch {
                        path: "fault".into(),
                        expected: match expected.kind {
                            Kind::Bool(_) => "one".into(),
                            _ => expected.to_string(),
                        },
                        got: "none: the program ran to its end".into(),
                        place: expected.place.clone(),
                    });
                }
            }
            (Some(expected), Some(got)) => out.extend(said(expected, &got, "fault")?),
        }
        Ok(())
    }
}

/// The value of an entry, at a place in any case.
fn placed(entry: &Entry) -> Value {
    Value {
        place: entry.value.place.clone().or_else(|| entry.place.clone()),
        kind: entry.value.kind.clone(),
    }
}

/// Compares what a host or machine said with what it is expected to say: `true`, a text that it
/// contains, or a comparison.
///
/// # Errors
/// It is none of these.
pub(crate) fn said(expected: &Value, got: &str, path: &str) -> Parsed<Option<Mismatch>> {
    let holds = match &expected.kind {
        Kind::Bool(wanted) => *wanted,
        Kind::Text(part) => got.contains(part.as_str()),
        _ => return text_mismatch(expected, got, path),
    };
    Ok((!holds).then(|| Mismatch {
        path: path.to_owned(),
        expected: match &expected.kind {
            Kind::Text(part) => format!("contains {part:?}"),
            _ => "none".into(),
        },
        got: format!("{got:?}"),
        place: expected.place.clone(),
    }))
}

/// The text of an iterator: whole, by a comparison, or an array with one for each line.
fn check_output(expected: &Value, got: &str, out: &mut Vec<Mismatch>) -> Parsed<()> {
    let Kind::Array(wanted) = &expected.kind else {
        out.extend(text_mismatch(expected, got, "output")?);
        return Ok(());
    };
    let lines: Vec<_> = got.lines().collect();
    for index in 0..wanted.len().max(lines.len()) {
        let path = format!("output[{index}]");
        match (wanted.get(index), lines.get(index)) {
            (Some(wanted), Some(line)) => out.extend(text_mismatch(wanted, line, &path)?),
            (wanted, line) => out.push(Mismatch {
                path,
                expected: wanted.map_or_else(|| "no line".into(), ToString::to_string),
                got: line.map_or_else(|| "no line".into(), |line| format!("{line:?}")),
                place: wanted.unwrap_or(expected).place.clone(),
            }),
        }
    }
    Ok(())
}

fn number(expected: &Value, got: i128, path: &str, out: &mut Vec<Mismatch>) -> Parsed<()> {
    let of = Type::Plain(Plain {
        size: 8,
        count: None,
        signed: true,
        network: false,
    });
    let mut encoder = Encoder {
        constants: None,
        pointers: &mut NoPointers,
    };
    let bytes = (got as i64).to_ne_bytes();
    compare(&mut encoder, &of, expected, &bytes, path, out)
}

/// A return value by its name: `XDP_DROP (1)`.
fn return_text(kind: ProgramType, got: u64) -> String {
    let low = got as u32 as i32;
    match kind.return_code_name(low) {
        Some(name) => format!("{name} ({low})"),
        None => match i32::try_from(got as i64).or(u32::try_from(got).map(|low| low as i32)) {
            Ok(low) => {
                let name = low
                    .checked_neg()
                    .and_then(|code| skep::boundary::Errno(code).name());
                match name {
                    Some(name) => format!("-{name} ({low})"),
                    None => low.to_string(),
                }
            }
            Err(_) => format!("{got:#x}"),
        },
    }
}

fn check_return(
    kind: ProgramType,
    expected: &Value,
    got: u64,
    constants: Option<&skep::btf::Btf>,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let low = got as u32 as i32;
    let wanted = match &expected.kind {
        Kind::Integer(number) => *number,
        Kind::Text(name) => match named(kind, name, constants) {
            Some(number) => number,
            None => {
                let codes: Vec<_> = kind.return_codes().map(|code| code.name).collect();
                let place = expected.place.clone();
                let what = format!("return value of programs of type {kind} called");
                return Err(FileError::unknown(place, &what, name, codes));
            }
        },
        Kind::Table(_) => return number(expected, low.into(), "return", out),
        _ => return Err(expected.wanted("a return value: a number, or its name")),
    };
    // 32 bits are what hooks look at; what is wider is compared as it is.
    let same = match i32::try_from(wanted).or(u32::try_from(wanted).map(|low| low as i32)) {
        Ok(wanted) => wanted == low,
        Err(_) => wanted == i128::from(got) || wanted == i128::from(got as i64),
    };
    if !same {
        let wanted = wanted as i64 as u64;
        out.push(Mismatch {
            path: "return".into(),
            expected: return_text(kind, wanted),
            got: return_text(kind, got),
            place: expected.place.clone(),
        });
    }
    Ok(())
}

fn named(kind: ProgramType, name: &str, constants: Option<&skep::btf::Btf>) -> Option<i128> {
    if let Some(code) = kind.return_code(name) {
        return Some(code.into());
    }
    let errno = name.strip_prefix('-').and_then(errno_by_name);
    match errno {
        Some(errno) => Some(-i128::from(errno)),
        None => constant(constants?, name),
    }
}

/// `{ ifindex = 5 }`, `{ map = true, key = 1 }`, or `false`.
fn check_redirect(expected: &Value, got: Option<Redirect>, out: &mut Vec<Mismatch>) -> Parsed<()> {
    let (fields, text): (Vec<(&str, u64)>, String) = match got {
        None => (Vec::new(), "not sent".into()),
        Some(Redirect::Device { ifindex, ingress }) => (
            vec![("ifindex", ifindex.into()), ("ingress", ingress.into())],
            format!("{{ ifindex = {ifindex}, ingress = {ingress} }}"),
        ),
        Some(Redirect::Peer { ifindex }) => (
            vec![("peer", ifindex.into())],
            format!("{{ peer = {ifindex} }}"),
        ),
        Some(Redirect::Neighbour { ifindex }) => (
            vec![("neighbour", ifindex.into())],
            format!("{{ neighbour = {ifindex} }}"),
        ),
        Some(Redirect::Map { key, value, .. }) => (
            vec![("key", key.into()), ("value", value.into())],
            format!("{{ key = {key}, value = {value} }}"),
        ),
        Some(Redirect::Socket { cookie }) => {
            (vec![("socket", cookie)], format!("{{ socket = {cookie} }}"))
        }
        Some(_) => (Vec::new(), "sent elsewhere".into()),
    };
    let holds = match &expected.kind {
        Kind::Bool(wanted) => *wanted == got.is_some(),
        Kind::Table(table) => {
            let known = [
                "ifindex",
                "ingress",
                "peer",
                "neighbour",
                "key",
                "value",
                "socket",
            ];
            expected.only("part of a redirection", &known)?;
            let mut all = true;
            for entry in table {
                let wanted: u64 = match entry.value.kind {
                    Kind::Bool(value) => value.into(),
                    _ => entry.value.number("a number")?,
                };
                all &= fields.contains(&(entry.name.as_str(), wanted));
            }
            all
        }
        _ => return Err(expected.wanted("a redirection: { ifindex = 5 }, { key = 1 } or false")),
    };
    if !holds {
        out.push(Mismatch {
            path: "redirect".into(),
            expected: expected.to_string(),
            got: text,
            place: expected.place.clone(),
        });
    }
    Ok(())
}
