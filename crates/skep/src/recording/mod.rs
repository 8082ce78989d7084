//! Recording what programs see, on any host, and replaying it in the virtual machine.
//!
//! [`Instrumented`] is an image whose programs write down what they see; a [`Recorder`] puts that
//! into a file while they run. `Replay` (feature `vm`) runs the same programs on it again.

mod recorder;
#[cfg(feature = "vm")]
mod replay;
mod types;

pub use recorder::{Instrumented, Recorder};
#[cfg(feature = "vm")]
pub use replay::{Difference, Replay};
pub use skep_record::{
    Cut, Error as RecordError, Event, Header, Item, Lost, MapState, Name, Options as RecordOptions,
    ProgramSites, Recording, Site, Sites,
};
