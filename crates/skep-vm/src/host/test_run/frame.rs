//! Test runs of XDP programs.

use std::sync::Arc;

use skep_abi::{AttachType, TestRunFlags};
use skep_host::{Errno, TestRun};

use super::{Answer, Around, Done, context_in, finish, with_packet};
use crate::{
    Vm,
    memory::View,
    program::Program,
    run::{
        Run,
        packet::{FRAME_HEAD, HEADROOM, SHARED_INFO, XdpField, XdpInput, skb::ETH_LEN},
    },
};

/// Bytes of a page, in which the linear part is with all around it.
const PAGE: usize = 4096;
/// Pages that a packet may have beside it.
const FRAGMENTS: usize = 17;
/// The longest metadata: what the headroom has beside `struct xdp_frame`.
const META: u32 = (HEADROOM as u64 - FRAME_HEAD) as u32;
/// Most frames of a batch.
const BATCH: u32 = 256;
/// Bytes that the kernel keeps before each live frame.
const LIVE_HEAD: usize = 112;

pub(super) fn run(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
    around: &Around<'_>,
) -> Answer {
    let kind = program.meta.expected_attach_type;
    if matches!(kind, Some(AttachType::XdpDevmap | AttachType::XdpCpumap))
        || program.meta.ifindex != 0
        || !(run.flags - TestRunFlags::XDP_LIVE_FRAMES).is_empty()
    {
        return Err(Errno::EINVAL.into());
    }
    let live = run.flags.contains(TestRunFlags::XDP_LIVE_FRAMES);
    if run.batch_size > 0 && !live {
        return Err(Errno::EINVAL.into());
    }
    if run.batch_size > BATCH {
        return Err(Errno::E2BIG.into());
    }
    let mut context = context_in::<{ XdpField::LEN }>(run)?;
    let given = context.as_mut().map(Given::of);
    let given = given.unwrap_or_default();
    let meta = given.meta as usize;
    let mut whole = run.data_in.len();
    if context.is_some() {
        let odd = !given.meta.is_multiple_of(4) || given.meta > META;
        let output = live && (!run.data_out.is_empty() || !run.context_out.is_empty());
        let end = given.end as usize;
        if given.data_meta != 0 || end > whole || given.meta > given.end || odd || output {
            return Err(Errno::EINVAL.into());
        }
        // What lies behind the end that the user gives is in fragments.
        whole = end;
    }
    let head = HEADROOM + if live { LIVE_HEAD } else { 0 } - meta;
    let linear = whole.min(PAGE - SHARED_INFO - head);
    let short = run.data_in.len() - meta < ETH_LEN as usize;
    if (live && run.data_in.len() > linear) || short {
        return Err(Errno::EINVAL.into());
    }
    given.check(vm)?;
    if run.data_in.len() - linear > FRAGMENTS * PAGE {
        return Err(Errno::ENOMEM.into());
    }
    let input = XdpInput {
        bytes: run.data_in,
        meta,
        linear,
        ifindex: given.device(),
        queue: given.queue,
    };
    if live {
        return live_frames(vm, program, run, &input);
    }
    let (done, data, fragments, context) = with_packet(
        vm,
        program,
        around,
        run.repeat,
        |inner| inner.receive_frame(&input),
        |inner, done| left(inner, done, context),
    )?;
    let size = data.len();
    let room = run.data_out.len();
    let mut data = data;
    if fragments > 0 && room > 0 && room < size {
        // The kernel copies all fragments, and cuts what is before them.
        if room < fragments {
            return Err(Errno::ENOSPC.into());
        }
        data.drain(room - fragments..size - fragments);
    }
    let context = context.as_ref().map(|bytes| &bytes[..]);
    finish(run, &done, &data, size, context)
}

/// What is left after the last run: the packet from its metadata on, bytes of it in fragments, and
/// the context as offsets from there.
type Left = (Done, Vec<u8>, usize, Option<[u8; XdpField::LEN]>);

fn left(run: &Run<'_>, done: &Done, mut context: Option<[u8; XdpField::LEN]>) -> Left {
    let place = run.packet.place.get();
    let bytes = run.packet_at(place.meta, place.tail - place.meta);
    if let Some(context) = &mut context {
        let fields = View::of(context);
        fields.set_u32(XdpField::DATA, (place.data - place.meta) as u32);
        fields.set_u32(XdpField::DATA_END, (place.end - place.meta) as u32);
    }
    let bytes = bytes.map(View::to_vec).unwrap_or_default();
    (*done, bytes, place.in_fragments() as usize, context)
}

/// Frames that would really be sent: each run has a new one. There is no device to send them by.
fn live_frames(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
    input: &XdpInput<'_>,
) -> Answer {
    let started = std::time::Instant::now();
    let times = run.repeat.max(1);
    let cpu = vm.0.cpus.take(None)?;
    let mut inner = Run::new(&vm.0, program, cpu.id(), cpu.scratch(), vm.0.limits);
    for _ in 0..times {
        inner.rewind();
        let context = inner.receive_frame(input)?;
        inner.start(context)?;
    }
    let done = Done {
        value: 0,
        mean: started.elapsed() / times,
    };
    finish(run, &done, input.bytes, input.bytes.len(), None)
}

/// What a context says of a frame.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    meta: u32,
    end: u32,
    data_meta: u32,
    ifindex: u32,
    queue: u32,
    egress: u32,
}

impl Given {
    fn of(context: &mut [u8; XdpField::LEN]) -> Self {
        let fields = View::of(context);
        let word = |at| fields.u32_at(at).unwrap_or_default();
        Self {
            meta: word(XdpField::DATA),
            end: word(XdpField::DATA_END),
            data_meta: word(XdpField::DATA_META),
            ifindex: word(XdpField::INGRESS_IFINDEX),
            queue: word(XdpField::RX_QUEUE_INDEX),
            egress: word(XdpField::EGRESS_IFINDEX),
        }
    }

    /// The device is there, and has the queue.
    fn check(&self, vm: &Vm) -> Result<(), Errno> {
        if self.egress != 0 || (self.ifindex == 0 && self.queue != 0) {
            return Err(Errno::EINVAL);
        }
        if self.ifindex == 0 {
            return Ok(());
        }
        let net = vm.0.net.now();
        let device = net.device(self.ifindex).ok_or(Errno::ENODEV)?;
        if self.queue < device.queues {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Frames come by `lo` if nothing else is said.
    const fn device(&self) -> u32 {
        if self.ifindex == 0 { 1 } else { self.ifindex }
    }
}
