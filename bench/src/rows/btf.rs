//! The running kernel's BTF from nothing, and the first search by name in it. `btf.c` is the same
//! with libbpf.

use std::time::Instant;

use crate::{
    Result,
    instrument::Counters,
    peers::Peer,
    row::{Case, Figures, Goal, How, Line, Row},
};

pub(crate) fn rows() -> Vec<Row> {
    let how = |counted| How::Peer {
        arguments: vec!["btf".into()],
        object: None,
        counted,
    };
    vec![
        Row {
            name: "btf",
            runs: 21,
            how: how(false),
            lines: vec![
                Line::new("open", "kernel BTF: open", "ms", 1e6),
                Line::new("all", "kernel BTF: open and find `vfs_read`", "ms", 1e6)
                    .goal(Goal::Of(Peer::Libbpf, 1.0)),
            ],
        },
        Row {
            name: "btf-memory",
            runs: 3,
            how: how(true),
            lines: vec![
                Line::new("live", "kernel BTF: live memory then", "MiB", 1048576.0)
                    .goal(Goal::AtMost(1.5)),
                Line::new("allocations", "kernel BTF: allocations until then", "", 1.0)
                    .goal(Goal::Below(250.0)),
            ],
        },
    ]
}

/// Times with `start` at the beginning and `opened` in between, and what `before` counts.
fn figures(start: Instant, opened: Instant, before: &Counters) -> Figures {
    let all = start.elapsed();
    let mut figures = before.memory_since();
    figures.push(("open", (opened - start).as_nanos() as f64));
    figures.push(("all", all.as_nanos() as f64));
    figures
}

#[cfg(feature = "skep")]
pub(crate) fn measure(_: &Case) -> Result<Figures> {
    use skep::{Host, btf::KindTag};
    let before = Counters::now();
    let start = Instant::now();
    let host = Host::kernel()?;
    let btf = host.btf()?;
    let opened = Instant::now();
    btf.find("vfs_read", KindTag::Function)
        .ok_or("no vfs_read")?;
    Ok(figures(start, opened, &before))
}

#[cfg(feature = "libbpf-rs")]
pub(crate) fn measure(_: &Case) -> Result<Figures> {
    use libbpf_rs::btf::{Btf, types::Func};
    let before = Counters::now();
    let start = Instant::now();
    let btf = Btf::from_vmlinux()?;
    let opened = Instant::now();
    btf.type_by_name::<Func<'_>>("vfs_read")
        .ok_or("no vfs_read")?;
    Ok(figures(start, opened, &before))
}

#[cfg(feature = "aya")]
pub(crate) fn measure(_: &Case) -> Result<Figures> {
    use aya::Btf;
    let before = Counters::now();
    let start = Instant::now();
    let btf = Btf::from_sys_fs()?;
    let opened = Instant::now();
    btf.id_by_type_name_kind("vfs_read", aya_obj::btf::BtfKind::Func)?;
    Ok(figures(start, opened, &before))
}
