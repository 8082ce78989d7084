//! What may be sent to other threads, and shared with them: all but what is being handed out. Held
//! by the compiler, so that a field that can't be is noticed here and not by users.

use skep::{
    Arena, AttachOptions, Error, Host, Iteration, Link, Live, LoadOptions, Loaded, Map, MapMemory,
    Object, PerfBuffer, Program, Readers, Rejection, RingBuffer, StructOps, UserRingBuffer, Walk,
};

fn sent<T: Send>() {}
fn shared<T: Send + Sync>() {}

/// Records of readers stay where they are read.
type Local = std::rc::Rc<u8>;

#[test]
fn everything_crosses_threads() {
    shared::<Host>();
    shared::<(Object, LoadOptions, AttachOptions)>();
    shared::<(Loaded, Program, StructOps)>();
    shared::<(Map, MapMemory, Arena, Live)>();
    shared::<(RingBuffer<Local>, PerfBuffer<Local>, UserRingBuffer)>();
    shared::<(Error, Rejection)>();
    shared::<(Link, Iteration, Walk<'_>)>();
    // What handlers hold need only be sent.
    sent::<Readers<'_>>();
}

#[cfg(feature = "tokio")]
#[test]
fn so_do_the_readers_of_tasks() {
    use skep::{AsyncPerfBuffer, AsyncReaders, AsyncRingBuffer};

    shared::<(AsyncRingBuffer<Local>, AsyncPerfBuffer<Local>)>();
    sent::<AsyncReaders<'_>>();
}
