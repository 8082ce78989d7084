//! How large areas are: as much as the programs can need, within bounds.

use super::{ADDRESS, LONGEST_ITEM, Options, SMALLEST_AREA};
use crate::{
    area::{HEADER, ITEM, LEVELS},
    plan::{Plan, What},
};

/// The sizes of areas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// CPUs, to a power of two.
    pub(super) cpus: u32,
    /// Bytes of items, a power of two.
    pub(super) items: u32,
    /// The most bytes of one item.
    pub(super) longest: u32,
    pub(super) packet: u32,
}

impl Shape {
    pub(super) fn of(plans: &[Plan], options: &Options) -> Self {
        let packet = options.packet.clamp(16, LONGEST_ITEM).next_multiple_of(16);
        let mut longest = 64;
        let mut together = 0_u32;
        for plan in plans {
            longest = longest.max(plan.context_len);
            if plan.context.has_packet() {
                longest = longest.max(packet);
            }
            let mut sum = longest;
            for place in &plan.places {
                sum = sum.saturating_add(ITEM);
                if let What::World {
                    output: Some(_),
                    fixed,
                    ..
                } = place.what
                {
                    let len = fixed.unwrap_or(LONGEST_ITEM).min(LONGEST_ITEM);
                    longest = longest.max(len);
                    sum = sum.saturating_add(len.saturating_add(ADDRESS).next_multiple_of(16));
                }
            }
            together = together.max(sum);
        }
        let items = together.saturating_mul(2).max(SMALLEST_AREA);
        Self {
            cpus: options.cpus.max(1).next_power_of_two(),
            items: items.next_power_of_two().min(1 << 16),
            longest: longest.next_multiple_of(16),
            packet,
        }
    }

    /// Bytes of an area.
    pub(super) fn area(&self) -> u32 {
        HEADER
            .saturating_add(self.items)
            .saturating_add(self.longest)
            .saturating_add(ITEM.saturating_mul(2))
    }

    /// Bytes of all areas of a program.
    pub(super) fn program(&self) -> u32 {
        self.area().saturating_mul(self.cpus).saturating_mul(LEVELS)
    }

    pub(super) fn mask(&self) -> i32 {
        self.items.saturating_sub(ITEM).cast_signed()
    }
}
