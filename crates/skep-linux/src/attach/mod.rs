//! Attaching: one file a hook. Each answers with what holds the attachment, or with an errno and
//! what is known of its cause; this file dresses that as an error.

mod cgroup;
mod clsact;
mod function;
mod iterator;
mod kprobe;
mod kprobe_multi;
mod lirc;
mod lwt;
mod netfilter;
mod netkit;
mod netns;
mod perf_event;
mod raw_tracepoint;
mod socket;
mod sockmap;
mod source;
mod tcx;
mod trace_event;
pub(crate) mod tracepoint;
mod tracing;
#[cfg(feature = "probes")]
mod tracing_multi;
mod unlinked;
mod uprobe;
mod xdp;

use std::{ffi::CString, fs};

pub(crate) use clsact::{filters, remove as filter_remove};
pub(crate) use raw_tracepoint::not_found as raw_tracepoint_not_found;
pub(crate) use xdp::query as device_xdp;

use skep_abi::ProgramType;
use skep_host::{AttachPoint, Attachment, Cause, Errno, Error, ProgramFd, Result};

use crate::{LinuxHost, sys};

/// Why a hook refused.
#[derive(Debug)]
struct Refusal {
    errno: Errno,
    cause: Option<Cause>,
}

impl Refusal {
    fn because(errno: Errno, cause: Cause) -> Self {
        Self {
            errno,
            cause: Some(cause),
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, cause: None }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            errno: error.errno().unwrap_or(Errno::EINVAL),
            cause: error.cause().cloned(),
        }
    }
}

pub(crate) fn attach(
    host: &LinuxHost,
    name: &str,
    program: &ProgramFd,
    program_type: ProgramType,
    point: &AttachPoint<'_>,
) -> Result<Attachment> {
    let outcome = match point {
        AttachPoint::Tracepoint {
            category,
            name,
            cookie,
        } => tracepoint::attach(host, program, category, name, *cookie),
        AttachPoint::RawTracepoint { name, cookie } => {
            raw_tracepoint::attach(host, program, name, *cookie)
        }
        AttachPoint::Tracing {
            attach_type,
            cookie,
            ..
        } => tracing::attach(host, program, *attach_type, *cookie),
        AttachPoint::Replace {
            elsewhere, cookie, ..
        } => tracing::replace(host, program, *elsewhere, *cookie),
        #[cfg(feature = "probes")]
        AttachPoint::TracingMulti {
            attach_type,
            functions,
            cookies,
        } => tracing_multi::attach(host, program, *attach_type, functions, cookies),
        AttachPoint::Uprobe {
            at_return,
            binary,
            offset,
            pid,
            semaphore,
            source,
            cookie,
        } => {
            let probe = uprobe::Probe {
                at_return: *at_return,
                binary,
                offset: *offset,
                pid: *pid,
                semaphore: *semaphore,
                source: *source,
            };
            uprobe::attach(host, program, &probe, *cookie)
        }
        AttachPoint::UprobeMulti {
            mode,
            binary,
            places,
            pid,
        } => uprobe::attach_many(host, program, *mode, binary, places, *pid),
        AttachPoint::Kprobe {
            at_return,
            function,
            offset,
            source,
            cookie,
        } => {
            let probe = kprobe::Probe {
                function,
                offset: *offset,
                at_return: *at_return,
                source: *source,
            };
            kprobe::attach(host, program, &probe, *cookie)
        }
        AttachPoint::KprobeMulti {
            mode,
            functions,
            cookies,
        } => kprobe_multi::attach(host, program, *mode, functions, cookies),
        AttachPoint::PerfEvent {
            event,
            scope,
            cookie,
        } => perf_event::attach(host, program, *event, *scope, *cookie),
        AttachPoint::Xdp { ifindex, mode } => xdp::attach(host, program, *ifindex, *mode),
        AttachPoint::Tcx {
            ifindex,
            direction,
            order,
        } => tcx::attach(host, program, *ifindex, *direction, *order),
        AttachPoint::Clsact { parent, slot } => clsact::attach(program, *parent, *slot),
        AttachPoint::Netkit {
            ifindex,
            end,
            order,
        } => netkit::attach(host, program, *ifindex, *end, *order),
        AttachPoint::Netfilter(hook) => netfilter::attach(host, program, hook),
        AttachPoint::Sockmap { map, attach_type } => {
            sockmap::attach(host, program, map, *attach_type)
        }
        AttachPoint::Cgroup {
            cgroup,
            attach_type,
            mode,
            order,
        } => cgroup::attach(host, program, cgroup, *attach_type, *mode, *order),
        AttachPoint::SocketFilter { socket } => {
            socket::attach(program, *socket, socket::Place::Filter)
        }
        AttachPoint::Reuseport { socket } => socket::attach(program, *socket, socket::Place::Group),
        AttachPoint::Lwt(route) => lwt::attach(program, program_type, route),
        AttachPoint::Lirc { device } => lirc::attach(program, device),
        AttachPoint::Iterator(target) => iterator::attach(host, program, *target),
        AttachPoint::Netns { netns, attach_type } => {
            netns::attach(host, program, *netns, *attach_type)
        }
        _ => {
            return Err(Error::Unsupported {
                host: "the kernel host",
                what: point.to_string(),
            });
        }
    };
    outcome.map_err(|refusal| {
        let cause = refusal
            .cause
            .or_else(|| crate::cause::of_attach(host, refusal.errno, program_type, point));
        Error::Attach {
            program: name.to_owned(),
            point: point.to_string(),
            errno: refusal.errno,
            cause: cause.map(Box::new),
        }
    })
}

pub(crate) fn device_index(name: &str) -> Result<u32> {
    let fail = |errno| {
        let cause = Cause::NotFound {
            kind: "network device",
            name: name.to_owned(),
            near: near_devices(name),
        };
        Error::system("find", format!("network device `{name}`"), errno).because(Some(cause))
    };
    let c_name = CString::new(name).map_err(|_| fail(Errno::ENODEV))?;
    sys::device_index(&c_name).map_err(fail)
}

fn near_devices(name: &str) -> Vec<String> {
    let devices: Vec<String> = fs::read_dir("/sys/class/net")
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()
        })
        .unwrap_or_default();
    let near = skep_abi::near_names(name, devices.iter().map(String::as_str));
    // With a handful of devices, any of them helps.
    if near.is_empty() && devices.len() <= 3 {
        devices
    } else {
        near
    }
}
