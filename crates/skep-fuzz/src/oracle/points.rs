//! Static probe points of user-space binaries.

use skep::usdt::{Notes, Place, Semaphore};

use crate::corpus;

/// Binaries of both machines and byte orders.
pub(crate) fn binaries() -> Vec<Vec<u8>> {
    corpus::POINTS.iter().map(|bytes| bytes.to_vec()).collect()
}

/// Input: an ELF file with notes.
pub(crate) fn notes(input: &[u8]) {
    let notes = match Notes::parse(input) {
        Ok(notes) => notes,
        Err(error) => return super::readable(&error),
    };
    // Whatever is told of places lies in the file.
    let inside = |offset: u64, size| offset.checked_add(size).is_some();
    for point in &notes.points {
        assert!(point.offset.is_none_or(|offset| inside(offset, 1)));
        if let Semaphore::At { offset } = point.semaphore {
            assert!(inside(offset, 2));
        }
        match &point.arguments {
            Ok(arguments) => {
                for argument in arguments {
                    assert!(matches!(argument.size, 1 | 2 | 4 | 8), "{argument:?}");
                    let registers = match argument.place {
                        Place::Constant(_) => [None, None],
                        Place::Register(register) => [Some(register), None],
                        Place::Memory { base, index, .. } => {
                            let shift = index.map_or(0, |(_, shift)| shift);
                            assert!(shift < 8, "{argument:?}");
                            [Some(base), index.map(|(register, _)| register)]
                        }
                    };
                    for register in registers.into_iter().flatten() {
                        // The kernel reads eight bytes from there.
                        assert!(register.offset <= 264, "{argument:?}");
                    }
                }
            }
            Err(bad) => super::readable(bad),
        }
    }
}
