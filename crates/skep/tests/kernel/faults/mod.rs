//! What goes wrong around a program that is attached: targets, owners, readers, cgroups, modules and
//! CPUs that go, and very many attachments. Each test counts what must not get lost, or be left.

mod cpus;
mod cycles;
mod exits;
mod modules;
mod owners;
mod places;
mod readers;

use skep_testing::Test;

pub(crate) use owners::{PART, own};

pub(crate) fn tests() -> Vec<Test> {
    let groups = [
        cpus::tests(),
        cycles::tests(),
        exits::tests(),
        modules::tests(),
        owners::tests(),
        places::tests(),
        readers::tests(),
    ];
    groups.into_iter().flatten().collect()
}
