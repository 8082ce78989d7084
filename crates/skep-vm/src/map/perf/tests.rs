//! Records, their padding, what is lost, and when readers are woken.

use super::*;
use crate::{map::Waitable, memory::PAGE};

fn head(event: &PerfEvent) -> u64 {
    event.pages().u64_at(0x400).expect("a page")
}

fn word(event: &PerfEvent, at: u64) -> u32 {
    let offset = PAGE + (at % (event.pages().len() - PAGE) as u64) as usize;
    event.pages().u32_at(offset).expect("inside")
}

#[test]
fn records_are_padded() {
    let event = PerfEvent::new(0, 1, 1).expect("memory");
    event.output(&[View::of(&mut [1, 2, 3])]).expect("room");
    // Header 8, length 4, 3 bytes, padding.
    assert_eq!(head(&event), 16);
    assert_eq!(word(&event, 0), 9);
    assert_eq!(word(&event, 4), 1 | 16 << 16);
    assert_eq!(word(&event, 8), 4);
    assert_eq!(word(&event, 12), 0x0003_0201);
    event.output(&[View::of(&mut [0; 5])]).expect("room");
    assert_eq!(head(&event), 16 + 24);
}

#[test]
fn what_is_lost_is_counted() {
    let event = PerfEvent::new(0, 1, 0).expect("memory");
    let mut bytes = [7; 500];
    let fits = (0..).take_while(|_| event.output(&[View::of(&mut bytes)]).is_ok());
    assert_eq!(fits.count(), 7, "of 512 bytes, and one byte stays free");
    assert_eq!(event.output(&[View::of(&mut bytes)]), Err(Errno::ENOSPC));
    event.pages().set_u64(0x408, head(&event));
    event.output(&[View::of(&mut [1; 4])]).expect("room");
    let start = 7 * 512;
    assert_eq!(word(&event, start), 2);
    assert_eq!(word(&event, start + 16), 2, "lost");
    assert_eq!(word(&event, start + 24), 9);
    assert_eq!(
        event.output(&[View::of(&mut [0; 65_536])]),
        Err(Errno::E2BIG)
    );
}

#[test]
fn readers_are_woken_by_count_or_when_it_is_half_full() {
    let event = PerfEvent::new(0, 1, 3).expect("memory");
    let mut woken = Vec::new();
    for n in 0..7 {
        event.output(&[View::of(&mut [0; 4])]).expect("room");
        if event.readable() {
            woken.push(n);
        }
    }
    assert_eq!(woken, [2, 5]);
    let event = PerfEvent::new(0, 1, 0).expect("memory");
    let mut woken = Vec::new();
    for n in 0..7 {
        event.output(&[View::of(&mut [0; 500])]).expect("room");
        if event.readable() {
            woken.push(n);
        }
    }
    assert_eq!(woken, [4], "the first that reaches beyond the half");
}
