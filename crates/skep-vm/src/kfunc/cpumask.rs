//! Kernel functions on sets of CPUs. Sets that programs make are objects; those of the machine, in
//! tasks, are only read.

use std::sync::{
    Arc,
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Relaxed},
    },
};

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim},
    machine::objects::{Layout, Object, ObjectKind},
    memory::View,
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_cpumask_create", shim!(create)),
    ("bpf_cpumask_acquire", shim!(acquire)),
    ("bpf_cpumask_release", shim!(release)),
    ("bpf_cpumask_first", shim!(first)),
    ("bpf_cpumask_first_zero", shim!(first_zero)),
    ("bpf_cpumask_first_and", shim!(first_and)),
    ("bpf_cpumask_set_cpu", shim!(set_cpu)),
    ("bpf_cpumask_clear_cpu", shim!(clear_cpu)),
    ("bpf_cpumask_test_cpu", shim!(test_cpu)),
    ("bpf_cpumask_test_and_set_cpu", shim!(test_and_set_cpu)),
    ("bpf_cpumask_test_and_clear_cpu", shim!(test_and_clear_cpu)),
    ("bpf_cpumask_setall", shim!(setall)),
    ("bpf_cpumask_clear", shim!(clear)),
    ("bpf_cpumask_and", shim!(and)),
    ("bpf_cpumask_or", shim!(or)),
    ("bpf_cpumask_xor", shim!(xor)),
    ("bpf_cpumask_equal", shim!(equal)),
    ("bpf_cpumask_intersects", shim!(intersects)),
    ("bpf_cpumask_subset", shim!(subset)),
    ("bpf_cpumask_empty", shim!(empty)),
    ("bpf_cpumask_full", shim!(full)),
    ("bpf_cpumask_copy", shim!(copy)),
    ("bpf_cpumask_any_distribute", shim!(any_distribute)),
    ("bpf_cpumask_any_and_distribute", shim!(any_and_distribute)),
    ("bpf_cpumask_weight", shim!(weight)),
    ("bpf_cpumask_populate", shim!(populate)),
];

/// Words of the machine's `struct cpumask`; more on a machine with more CPUs.
const WORDS: u32 = 4;

fn words(run: &Run<'_>) -> usize {
    run.vm.cpus.count().div_ceil(64).max(WORDS) as usize
}

/// A set as it was when it was read: bits of CPUs that are there.
struct Mask(Vec<u64>);

impl Mask {
    /// A set that the program may read.
    fn read(run: &Run<'_>, address: u64) -> Result<Self, FaultKind> {
        let cpus = run.vm.cpus.count();
        let count = cpus.div_ceil(64) as usize;
        let view = run.view(address, count as u64 * 8, false)?;
        let all = (0..count).map(|at| {
            let mask = match cpus - at as u32 * 64 {
                rest @ 0..64 => (1 << rest) - 1,
                _ => u64::MAX,
            };
            view.u64_at(at * 8).unwrap_or_default() & mask
        });
        Ok(Self(all.collect()))
    }

    fn with(mut self, other: &Self, op: fn(u64, u64) -> u64) -> Self {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word = op(*word, *other);
        }
        self
    }

    fn and(self, other: &Self) -> Self {
        self.with(other, |a, b| a & b)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn weight(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The first CPU in it, or how many CPUs there are.
    fn first(&self, run: &Run<'_>) -> u64 {
        let none = run.vm.cpus.count();
        crate::run::first_bit(&self.0, 0).unwrap_or(none).into()
    }

    fn write(&self, to: View<'_>) {
        for (at, word) in self.0.iter().enumerate() {
            to.set_u64(at * 8, *word);
        }
    }
}

/// A set that the program made: its words.
fn own(run: &Run<'_>, address: u64) -> Result<Arc<Object>, FaultKind> {
    run.object(address, ObjectKind::Cpumask, "a bpf_cpumask_* function")
}

/// `bpf_cpumask_create()`
fn create(run: &Run<'_>, _: Arguments) -> Outcome {
    // A count of users stands behind the set.
    let size = words(run) as u32 * 8 + 8;
    let fields = crate::map::Fields::default();
    let layout = Arc::new(Layout { size, fields });
    let made = run.vm.objects.allocate(ObjectKind::Cpumask, layout, 1);
    Ok(made.map_or(0, |made| run.hold(made)))
}

/// `bpf_cpumask_acquire(cpumask)`
fn acquire(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    let object = run.object(mask, ObjectKind::Cpumask, "bpf_cpumask_acquire")?;
    Ok(if object.acquire() {
        run.hold(object)
    } else {
        0
    })
}

/// `bpf_cpumask_release(cpumask)`
fn release(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    let function = "bpf_cpumask_release";
    run.object(mask, ObjectKind::Cpumask, function)?;
    let object = run.take(mask, function)?;
    run.vm.objects.release(&object);
    Ok(0)
}

/// `bpf_cpumask_first(cpumask)`
fn first(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    Ok(Mask::read(run, mask)?.first(run))
}

/// `bpf_cpumask_first_zero(cpumask)`
fn first_zero(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    let mask = Mask::read(run, mask)?;
    let others = Mask(mask.0.iter().map(|word| !word).collect());
    Ok(others.first(run).min(run.vm.cpus.count().into()))
}

/// `bpf_cpumask_first_and(src1, src2)`
fn first_and(run: &Run<'_>, [a, b, ..]: Arguments) -> Outcome {
    let both = Mask::read(run, a)?.and(&Mask::read(run, b)?);
    Ok(both.first(run))
}

/// The word and the bit of a CPU that is there.
fn bit(cpu: u64) -> (usize, u64) {
    let cpu = cpu as u32;
    ((cpu / 64) as usize * 8, 1 << (cpu % 64))
}

/// Changes one bit of a set of the program; answers whether it was set.
fn change(
    run: &Run<'_>,
    cpu: u64,
    mask: u64,
    change: fn(&AtomicU64, u64) -> u64,
) -> Result<bool, FaultKind> {
    let object = own(run, mask)?;
    let words = object.memory();
    if cpu as u32 >= run.vm.cpus.count() {
        return Ok(false);
    }
    let (offset, bit) = bit(cpu);
    let before = words.long_word(offset).map(|word| change(word, bit));
    Ok(before.unwrap_or_default() & bit != 0)
}

fn set(word: &AtomicU64, bit: u64) -> u64 {
    word.fetch_or(bit, AcqRel)
}

fn unset(word: &AtomicU64, bit: u64) -> u64 {
    word.fetch_and(!bit, AcqRel)
}

/// `bpf_cpumask_set_cpu(cpu, cpumask)`
fn set_cpu(run: &Run<'_>, [cpu, mask, ..]: Arguments) -> Outcome {
    change(run, cpu, mask, set)?;
    Ok(0)
}

/// `bpf_cpumask_clear_cpu(cpu, cpumask)`
fn clear_cpu(run: &Run<'_>, [cpu, mask, ..]: Arguments) -> Outcome {
    change(run, cpu, mask, unset)?;
    Ok(0)
}

/// `bpf_cpumask_test_cpu(cpu, cpumask)`
fn test_cpu(run: &Run<'_>, [cpu, mask, ..]: Arguments) -> Outcome {
    let mask = Mask::read(run, mask)?;
    let (offset, bit) = bit(cpu);
    let word = mask.0.get(offset / 8).copied().unwrap_or_default();
    Ok(u64::from(word & bit != 0))
}

/// `bpf_cpumask_test_and_set_cpu(cpu, cpumask)`
fn test_and_set_cpu(run: &Run<'_>, [cpu, mask, ..]: Arguments) -> Outcome {
    Ok(change(run, cpu, mask, set)?.into())
}

/// `bpf_cpumask_test_and_clear_cpu(cpu, cpumask)`
fn test_and_clear_cpu(run: &Run<'_>, [cpu, mask, ..]: Arguments) -> Outcome {
    Ok(change(run, cpu, mask, unset)?.into())
}

/// All CPUs that there are.
fn everything(run: &Run<'_>) -> Mask {
    let cpus = run.vm.cpus.count();
    let words = (0..cpus.div_ceil(64)).map(|at| match cpus - at * 64 {
        rest @ 0..64 => (1 << rest) - 1,
        _ => u64::MAX,
    });
    Mask(words.collect())
}

/// `bpf_cpumask_setall(cpumask)`
fn setall(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    everything(run).write(own(run, mask)?.memory());
    Ok(0)
}

/// `bpf_cpumask_clear(cpumask)`
fn clear(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    let object = own(run, mask)?;
    if let Some(words) = object.memory().part(0, words(run) * 8) {
        words.fill(0);
    }
    Ok(0)
}

fn combine(run: &Run<'_>, to: u64, a: u64, b: u64, op: fn(u64, u64) -> u64) -> Outcome {
    let to = own(run, to)?;
    let both = Mask::read(run, a)?.with(&Mask::read(run, b)?, op);
    both.write(to.memory());
    Ok(u64::from(!both.is_empty()))
}

/// `bpf_cpumask_and(dst, src1, src2)`
fn and(run: &Run<'_>, [to, a, b, ..]: Arguments) -> Outcome {
    combine(run, to, a, b, |a, b| a & b)
}

/// `bpf_cpumask_or(dst, src1, src2)`
fn or(run: &Run<'_>, [to, a, b, ..]: Arguments) -> Outcome {
    combine(run, to, a, b, |a, b| a | b)
}

/// `bpf_cpumask_xor(dst, src1, src2)`
fn xor(run: &Run<'_>, [to, a, b, ..]: Arguments) -> Outcome {
    combine(run, to, a, b, |a, b| a ^ b)
}

/// `bpf_cpumask_equal(src1, src2)`
fn equal(run: &Run<'_>, [a, b, ..]: Arguments) -> Outcome {
    let (a, b) = (Mask::read(run, a)?, Mask::read(run, b)?);
    Ok(u64::from(a.0 == b.0))
}

/// `bpf_cpumask_intersects(src1, src2)`
fn intersects(run: &Run<'_>, [a, b, ..]: Arguments) -> Outcome {
    let both = Mask::read(run, a)?.and(&Mask::read(run, b)?);
    Ok(u64::from(!both.is_empty()))
}

/// `bpf_cpumask_subset(src1, src2)`
fn subset(run: &Run<'_>, [a, b, ..]: Arguments) -> Outcome {
    let outside = Mask::read(run, a)?.with(&Mask::read(run, b)?, |a, b| a & !b);
    Ok(u64::from(outside.is_empty()))
}

/// `bpf_cpumask_empty(cpumask)`
fn empty(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    Ok(u64::from(Mask::read(run, mask)?.is_empty()))
}

/// `bpf_cpumask_full(cpumask)`
fn full(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    Ok(u64::from(Mask::read(run, mask)?.0 == everything(run).0))
}

/// `bpf_cpumask_copy(dst, src)`
fn copy(run: &Run<'_>, [to, from, ..]: Arguments) -> Outcome {
    Mask::read(run, from)?.write(own(run, to)?.memory());
    Ok(0)
}

/// A CPU of the set, another one each time.
fn distribute(run: &Run<'_>, mask: &Mask) -> u64 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let from = LAST.load(Relaxed).wrapping_add(1);
    let next = crate::run::first_bit(&mask.0, from).or_else(|| crate::run::first_bit(&mask.0, 0));
    match next {
        Some(next) => {
            LAST.store(next, Relaxed);
            next.into()
        }
        None => run.vm.cpus.count().into(),
    }
}

/// `bpf_cpumask_any_distribute(cpumask)`
fn any_distribute(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    Ok(distribute(run, &Mask::read(run, mask)?))
}

/// `bpf_cpumask_any_and_distribute(src1, src2)`
fn any_and_distribute(run: &Run<'_>, [a, b, ..]: Arguments) -> Outcome {
    let both = Mask::read(run, a)?.and(&Mask::read(run, b)?);
    Ok(distribute(run, &both))
}

/// `bpf_cpumask_weight(cpumask)`
fn weight(run: &Run<'_>, [mask, ..]: Arguments) -> Outcome {
    Ok(Mask::read(run, mask)?.weight().into())
}

/// `bpf_cpumask_populate(cpumask, src, src__sz)`
fn populate(run: &Run<'_>, [mask, from, len, ..]: Arguments) -> Outcome {
    let to = own(run, mask)?;
    run.view(from, len, false)?;
    let needed = run.vm.cpus.count().div_ceil(64) as u64 * 8;
    if len < needed {
        return Ok(errno(Errno::EACCES));
    }
    Mask::read(run, from)?.write(to.memory());
    Ok(0)
}
