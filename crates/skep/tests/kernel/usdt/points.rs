//! `usdt_points.c` in its forms, what its points have, and `usdt.bpf.c` on them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use skep::{Object, usdt::Notes};
use skep_testing::{Outcome, Stop, ensure};

use crate::support::{Running, object, source};

/// A way to build `usdt_points.c`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Fixed,
    Anywhere,
    Library,
}

/// What runs, and what the points are in.
#[derive(Clone)]
pub(crate) struct Built {
    pub(crate) program: PathBuf,
    pub(crate) points: PathBuf,
}

/// Builds it once.
pub(crate) fn built(form: Form) -> Outcome<Built> {
    static BUILT: Mutex<[Option<Built>; 3]> = Mutex::new([const { None }; 3]);
    let mut all = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let place = &mut all[form as usize];
    if place.is_none() {
        *place = Some(build(form)?);
    }
    Ok(place.clone().expect("it was built"))
}

fn build(form: Form) -> Outcome<Built> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Stop::lacks("points that are written for this machine"));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = source("usdt_points.c");
    let compile = |name: &str, arguments: &[&OsStr]| {
        let made = folder.join(name);
        skep_testing::compile_native_as(&made, &source, arguments)?;
        Ok::<_, Stop>(made)
    };
    let words = |words: &[&'static str]| -> Vec<&'static OsStr> {
        words.iter().map(|word| OsStr::new(*word)).collect()
    };
    Ok(match form {
        Form::Fixed => {
            let made = compile("usdt_fixed", &words(&["-DFIXED", "-no-pie"]))?;
            Built {
                program: made.clone(),
                points: made,
            }
        }
        Form::Anywhere => {
            let made = compile("usdt_anywhere", &words(&["-fPIE", "-pie"]))?;
            Built {
                program: made.clone(),
                points: made,
            }
        }
        Form::Library => {
            let points = compile(
                "libusdt_points.so",
                &words(&["-DLIBRARY", "-shared", "-fPIC"]),
            )?;
            let mut arguments = words(&["-DCALLER"]);
            let rpath = format!("-Wl,-rpath,{}", folder.display());
            arguments.extend([points.as_os_str(), OsStr::new(&rpath)]);
            Built {
                program: compile("usdt_caller", &arguments)?,
                points,
            }
        }
    })
}

/// What the points of every form have, by the table in `usdt_points.c`.
const POINTS: &[(&str, &[i64])] = &[
    ("page_end", &[0xff85fe84_u32 as i32 as i64, 0xff85, 0xff]),
    (
        "registers",
        &[
            0xa1a2a3a4a5a6a7a8_u64 as i64,
            0xb1b2b3b4b5b6b7b8_u64 as i64,
            0xc5c6c7c8,
            0xd5d6d7d8_u32 as i32 as i64,
            0xe7e8,
            0xf7f8_u16 as i16 as i64,
            0x88,
            0x98_u8 as i8 as i64,
            0xa7,
            0xb7_u8 as i8 as i64,
            0x1011121314151617,
            0x24252627,
        ],
    ),
    (
        "more_registers",
        &[
            0x3637,
            0x4041424344454647,
            0xd7_u8 as i8 as i64,
            0xe4656667_u32 as i32 as i64,
            0x0102030405060708,
            0x08,
            0xe8,
            0xc8,
            0xd7_u8 as i8 as i64,
            0xa5a6a7a8,
            // Of a register's half there are four bytes.
            0xb5b6b7b8,
        ],
    ),
    (
        "memory",
        &[
            0x0102030405060708,
            -5,
            0xfffffff0,
            -6,
            0xfffa,
            0xc8,
            -7,
            10,
            -47244640246,
            -11_i32 as u32 as i64,
        ],
    ),
    ("indexed", &[-13, -104267782, 14, 6, 10, 0xfffa]),
    ("code", &[-77, -2000, 3000]),
    (
        "constants",
        &[-1, 0xffffffff, -5, 255, -1, i64::MAX, -1, 1, 0, 7],
    ),
    ("none", &[]),
    ("watched", &[9]),
];

const FIXED_POINTS: &[(&str, &[i64])] = &[("fixed", &[-77, -4000, -4000, 3000])];

/// `usdt.bpf.c` with a program on each of these points.
pub(crate) fn on(points: &[&str], built: &Built) -> Outcome<Object> {
    of(object("usdt")?, points, built)
}

/// `usdt.rs`, which has the same programs.
pub(crate) fn in_rust() -> Outcome<Object> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rust/usdt.rs");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    Ok(Object::parse("usdt_rust", &bytes)?)
}

/// One of the two with a program on each of these points.
pub(crate) fn of(mut object: Object, points: &[&str], built: &Built) -> Outcome<Object> {
    let programs: Vec<String> = points.iter().map(|point| format!("on_{point}")).collect();
    let names: Vec<&str> = programs.iter().map(String::as_str).collect();
    object.only_programs(&names)?;
    for (program, point) in programs.iter().zip(points) {
        put(&mut object, program, built, point)?;
    }
    Ok(object)
}

pub(crate) fn put(object: &mut Object, program: &str, built: &Built, point: &str) -> Outcome {
    let target = format!("{}:skep_test:{point}", built.points.display());
    object.program(program)?.attach_target(target);
    Ok(())
}

/// `struct seen`.
pub(crate) struct Seen {
    pub(crate) hits: i64,
    pub(crate) cookie: i64,
    pub(crate) count: i64,
    pub(crate) error: i64,
    pub(crate) values: Vec<i64>,
    pub(crate) sizes: Vec<i64>,
}

pub(crate) fn seen(running: &Running, point: &str) -> Outcome<Seen> {
    let bytes = running.bytes(&format!("seen_{point}"))?;
    let words = bytes.as_chunks::<8>().0.iter();
    let words: Vec<i64> = words.map(|word| i64::from_ne_bytes(*word)).collect();
    let [hits, cookie, count, error, arguments @ ..] = words.as_slice() else {
        return Err(Stop::fail("`struct seen` is shorter"));
    };
    let (values, sizes) = arguments.split_at(arguments.len() / 2);
    Ok(Seen {
        hits: *hits,
        cookie: *cookie,
        count: *count,
        error: *error,
        values: values.to_vec(),
        sizes: sizes.to_vec(),
    })
}

/// A point's name, and its arguments.
pub(crate) type Point = (&'static str, &'static [i64]);

/// The points of a form.
pub(crate) fn points(form: Form) -> Vec<Point> {
    let fixed = FIXED_POINTS.iter().filter(|_| form == Form::Fixed);
    POINTS.iter().chain(fixed).copied().collect()
}

/// Compares what programs saw of points with what is there, and how often they saw it.
pub(crate) fn check(running: &Running, built: &Built, points: &[Point], hits: i64) -> Outcome {
    let notes = Notes::open(&built.points)?;
    for (name, wanted) in points {
        let seen = seen(running, name)?;
        ensure(seen.hits == hits, || format!("{name}: {} hits", seen.hits))?;
        ensure(seen.count == wanted.len() as i64, || {
            format!("{name}: {}", seen.count)
        })?;
        for (index, wanted) in wanted.iter().enumerate() {
            let value = seen.values[index];
            ensure(value == *wanted, || {
                format!("{name}, argument {index}: {value:#x}, not {wanted:#x}")
            })?;
        }
        // Behind the last there is none (ENOENT).
        ensure(seen.error == -2, || format!("{name}: {}", seen.error))?;
        ensure(
            seen.values[wanted.len()..].iter().all(|value| *value == 0),
            || format!("{name}: {:?}", seen.values),
        )?;
        let note = notes
            .points
            .iter()
            .find(|point| point.name == *name)
            .expect("a note");
        let sizes = note
            .arguments
            .as_ref()
            .expect("arguments")
            .iter()
            .map(|argument| i64::from(argument.size));
        ensure(sizes.eq(seen.sizes[..wanted.len()].iter().copied()), || {
            format!("{name}: {:?}", seen.sizes)
        })?;
    }
    Ok(())
}
