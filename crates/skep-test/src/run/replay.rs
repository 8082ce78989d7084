//! Tests out of recordings: the program sees again what a recorded run saw, and has to find there
//! all that it asks for; what it then sent and counted can be expected as of any other run.

use std::{fs, sync::Arc};

use skep::{
    Object,
    recording::{Recording, Replay},
};

use super::{
    events::Events,
    maps::chain,
    object::Prepared,
    session::{Session, Stop, choose},
};
use crate::{
    definition::{Replayed, Setup},
    failure::Mismatch,
    source::FileError,
};

/// Differences that are told one by one.
const SAID: usize = 8;
/// Events between two looks at rings and buffers: so many don't fill a small one.
const TURN: usize = 16;

/// Runs what a test says of a recording; what came out otherwise is in `differ`.
///
/// # Errors
/// There is no such recording or event, or the program can't be run on it.
pub(crate) fn replay(
    prepared: &Arc<Prepared>,
    setup: &Setup,
    test: &Replayed,
    differ: &mut Vec<Mismatch>,
) -> Result<Session, Stop> {
    let said = |text: String| Stop::File(FileError::new(test.place.clone(), text));
    let path = prepared.folder.join(&test.file);
    let bytes = fs::read(&path);
    let bytes = bytes.map_err(|error| said(format!("can't read {}: {error}", path.display())))?;
    let recording = Recording::parse(bytes).map_err(skep::Error::from);
    let recording =
        recording.map_err(|error| said(format!("{}: {}", path.display(), chain(&error))))?;
    let recording = Arc::new(recording);
    let mut object = Object::from_spec(prepared.spec.clone());
    choose(&mut object, prepared, setup, &[])?;
    let refused = |error: skep::Error| Stop::Refused(chain(&error));
    let mut replay = Replay::by(Arc::clone(&recording), object).map_err(refused)?;
    let mut events = Events::open(replay.loaded(), true).map_err(refused)?;
    events.open_rings(replay.loaded()).map_err(refused)?;

    let chosen = match &test.events {
        Some(events) => events.clone(),
        None => (0..recording.len()).collect(),
    };
    let mut count = 0;
    for (turn, event) in chosen.into_iter().enumerate() {
        if event >= recording.len() {
            let text = format!(
                "there is no event {event}: the recording has {}",
                recording.len()
            );
            return Err(said(text));
        }
        if let Some(difference) = replay.run(event).map_err(refused)? {
            count += 1;
            if count <= SAID {
                differ.push(Mismatch {
                    path: format!("event {event} (`{}`)", difference.program),
                    expected: "what was recorded".into(),
                    got: difference.what,
                    place: test.place.clone(),
                });
            }
        }
        if turn % TURN == TURN - 1 {
            events.mark(replay.loaded())?;
        }
    }
    if count > SAID {
        differ.push(Mismatch {
            path: "replay".into(),
            expected: "what was recorded".into(),
            got: format!("{} more events that differ", count - SAID),
            place: test.place.clone(),
        });
    }
    Ok(Session::of(prepared, replay.into_loaded(), events))
}
