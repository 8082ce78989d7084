//! Several XDP programs on one device, which the kernel gives one place.
//!
//! The place holds a dispatcher of ours, which calls the programs one after the other: each by a
//! tail call out of a function of its own (`code.rs`), so that they come back to it. It needs no
//! more of a kernel than that (Linux 5.10 on x86-64): no BTF of its own and no patched code, as
//! programs that replace functions of a dispatcher (libxdp's way) do.
//!
//! All is found from the device alone, and nothing is pinned. The programs stand in a map of tail
//! calls, at slots that are claimed in a second map; both are the same for all dispatchers that the
//! device ever has. In a third (`state.rs`) each dispatcher carries which slots it calls, in which
//! order. It is never changed: who comes or goes loads another one and puts it in the old one's
//! place if that still is there; if not, someone else was faster, and it begins again with what is
//! there now. Packets see the one or the other.
//!
//! Link and maps are shared: each who takes part holds descriptors of them, and the last that are
//! closed end all of it. So who is killed leaves its program there until the others are gone.

mod code;
mod state;

use std::{fmt, sync::Arc};

use skep_abi::{MapType, MapUpdateFlags, ObjectFlags, ProgramType, XdpAction};
use skep_host::{
    AttachPoint, Attachment, Detach, DeviceXdp, Errno, Host, LinkFd, MapCreate, MapFd, ProgramFd,
    Result, XdpMode,
};

use self::state::{Entry, State};
use crate::{Link, Program};

/// Most programs that share a device: each takes one of the 33 tail calls that a packet has.
const MOST: usize = 16;

/// Slots that they come and go by. One is lost when a process is killed as it comes or goes.
const ROOM: u32 = 64;

/// How often others may be faster.
const TRIES: usize = 100;

/// The name of our dispatchers.
const NAME: &str = "skep_dispatcher";
/// The names of their maps: what they call, which slots of it are taken, and what is to be known of
/// those.
const SLOTS: &str = "skep_xdp_slots";
const TAKEN: &str = "skep_xdp_taken";
const STATE: &str = "skep_xdp_state";

/// How an XDP program shares its device with others. What is not said here is as the object says it
/// (libxdp's `XDP_RUN_CONFIG`), or else priority 50 and a next program after `XDP_PASS`, as libxdp
/// has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct XdpShare {
    /// The lower runs earlier; of two that are equal, the one that came first.
    #[doc(alias = "XDP_RUN_CONFIG")]
    pub priority: Option<u32>,
    /// The answers after which the next program runs; any other is the packet's fate. What the last
    /// program answers always is.
    #[doc(alias = "chain_call_actions")]
    pub chain: Option<Vec<XdpAction>>,
}

impl XdpShare {
    /// The priority of programs of which nothing says another.
    pub const PRIORITY: u32 = 50;

    fn priority(&self, program: &Program) -> u32 {
        let of_object = || program.run_config()?.priority;
        self.priority.or_else(of_object).unwrap_or(Self::PRIORITY)
    }

    /// A bit for each answer after which the next program runs.
    fn mask(&self, program: &Program) -> u32 {
        let bit = |action: XdpAction| 1 << action.raw();
        if let Some(chain) = &self.chain {
            return chain.iter().fold(0, |mask, action| mask | bit(*action));
        }
        let said = program.run_config().map(|config| config.chain.as_slice());
        let said = said.unwrap_or_default().iter();
        said.fold(bit(XdpAction::Pass), |mask, (action, next)| match next {
            true => mask | bit(*action),
            false => mask & !bit(*action),
        })
    }
}

/// Attaches a program beside others.
pub(super) fn attach(
    program: &Arc<Program>,
    ifindex: u32,
    mode: XdpMode,
    share: &XdpShare,
) -> crate::Result<Link> {
    let place = Place {
        host: Arc::clone(program.host()),
        ifindex,
    };
    let mut entry = Entry {
        slot: 0,
        priority: share.priority(program),
        chain: share.mask(program),
        frags: program.section().has_frags(),
    };
    // Dropped on the way out, it gives its slot back.
    let mut claim: Option<Share> = None;
    for _ in 0..TRIES {
        let there = place.read()?;
        if let Some(reason) = refusal(there.as_ref(), &entry, mode) {
            return Err(program.cannot_attach(&reason));
        }
        let (maps, mut state) = match &there {
            Some(there) => (there.maps.try_clone()?, there.state.clone()),
            None => (place.maps()?, State::default()),
        };
        if claim.as_ref().is_none_or(|share| share.maps.id != maps.id) {
            claim = Some(place.claim(maps, program)?);
        }
        let Some(mut share) = claim.take() else {
            continue;
        };
        entry.slot = share.slot;
        state.insert(entry);
        let dispatcher = place.dispatcher(&state, &share.maps)?;
        let link = match there {
            Some(there) => match place.swap(&there, &dispatcher)? {
                true => there.link,
                false => {
                    claim = Some(share);
                    continue;
                }
            },
            None => match place.begin(program.name(), &dispatcher, mode) {
                Ok(link) => link,
                // Someone else was faster, with a dispatcher.
                Err(error) if error.errno() == Some(Errno::EBUSY) && place.read()?.is_some() => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            },
        };
        let held = link.try_clone()?;
        share.link = Some(link);
        let place = format!(
            "xdp on device {ifindex}, shared, priority {}",
            entry.priority
        );
        let attachment = Attachment::held(Box::new(share), Some(held));
        return Ok(Link::new(Arc::clone(program), place, vec![attachment]));
    }
    Err(program.cannot_attach(&busy(ifindex)))
}

fn busy(ifindex: u32) -> String {
    format!("others change the XDP programs of device {ifindex} all the time; try again")
}

/// Why a program can't join those that are there.
fn refusal(there: Option<&There>, new: &Entry, mode: XdpMode) -> Option<String> {
    let there = there?;
    let others = there.state.entries.first();
    if there.state.entries.len() >= MOST {
        return Some(format!(
            "{MOST} programs share the device already, and no more can"
        ));
    }
    if let Some(other) = others.filter(|other| other.frags != new.frags) {
        let (they, it) = match other.frags {
            true => (
                "take packets in several buffers (`xdp.frags`)",
                "it does not",
            ),
            false => (
                "take packets in one buffer (`xdp`)",
                "it takes several (`xdp.frags`)",
            ),
        };
        return Some(format!(
            "the programs that share the device {they}, and {it}: put all of them in sections of \
             one kind"
        ));
    }
    let wanted = match mode {
        XdpMode::Generic => "generic",
        XdpMode::Native => "native",
        XdpMode::Auto => return None,
        XdpMode::Offload => {
            return Some("programs on the card itself can't share it: choose another mode".into());
        }
    };
    (wanted != there.mode).then(|| {
        format!(
            "the programs that share the device run in {} mode: choose that mode, or none",
            there.mode
        )
    })
}

/// A device of a host.
#[derive(Clone)]
struct Place {
    host: Arc<dyn Host>,
    ifindex: u32,
}

/// What all dispatchers of a device have.
struct Maps {
    slots: MapFd,
    taken: MapFd,
    /// The id of the first.
    id: u32,
}

impl Maps {
    fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            slots: self.slots.try_clone()?,
            taken: self.taken.try_clone()?,
            id: self.id,
        })
    }
}

/// A dispatcher that is on a device.
struct There {
    link: LinkFd,
    dispatcher: ProgramFd,
    maps: Maps,
    state: State,
    mode: &'static str,
}

impl Place {
    /// The dispatcher that is there; nothing if there is none, or another program.
    fn read(&self) -> Result<Option<There>> {
        let now = || Ok(self.host.device_xdp(self.ifindex)?.program());
        let mut seen = now()?;
        for _ in 0..TRIES {
            let Some((id, mode)) = seen else { break };
            if let Some(there) = self.read_program(id, mode)? {
                return Ok(Some(there));
            }
            // A dispatcher that another one replaced while it was read is none any more.
            let before = seen;
            seen = now()?;
            if seen == before {
                break;
            }
        }
        Ok(None)
    }

    /// The same, of the program that was on the device.
    fn read_program(&self, id: u32, mode: &'static str) -> Result<Option<There>> {
        let host = &*self.host;
        let Some(dispatcher) = host.prog_by_id(id)? else {
            return Ok(None);
        };
        let info = host.prog_info(&dispatcher)?;
        if info.name != NAME {
            return Ok(None);
        }
        let (mut slots, mut taken, mut state) = (None, None, None);
        for &id in &info.maps {
            let Some(map) = host.map_by_id(id, ObjectFlags::empty())? else {
                continue;
            };
            let info = host.map_info(&map)?;
            match (info.name.as_str(), info.map_type()) {
                (SLOTS, Some(MapType::ProgArray)) => slots = Some((map, id)),
                (TAKEN, Some(MapType::Hash)) => taken = Some(map),
                (STATE, Some(MapType::Array)) => {
                    let mut value = vec![0; info.value_size as usize];
                    host.map_lookup_elem(&map, &0_u32.to_ne_bytes(), &mut value, 0)?;
                    state = State::read(&value);
                }
                _ => {}
            }
        }
        let (Some((slots, id_of_slots)), Some(taken), Some(state)) = (slots, taken, state) else {
            return Ok(None);
        };
        let link = DeviceXdp::link(host, id, self.ifindex)?;
        Ok(link.map(|(_, link)| There {
            link,
            dispatcher,
            maps: Maps {
                slots,
                taken,
                id: id_of_slots,
            },
            state,
            mode,
        }))
    }

    /// New maps.
    fn maps(&self) -> Result<Maps> {
        let create = |map_type, name, value| {
            let create = MapCreate::new(map_type, name, 4, value, ROOM);
            self.host.map_create(&create)
        };
        let slots = create(MapType::ProgArray, SLOTS, 4)?;
        Ok(Maps {
            id: self.host.map_info(&slots)?.id,
            slots,
            taken: create(MapType::Hash, TAKEN, 1)?,
        })
    }

    /// Takes a slot, and puts the program there.
    fn claim(&self, maps: Maps, program: &Arc<Program>) -> Result<Share> {
        let only_new = MapUpdateFlags::NOEXIST.bits();
        for slot in 0..ROOM {
            let key = slot.to_ne_bytes();
            match self.host.map_update_elem(&maps.taken, &key, &[1], only_new) {
                Ok(()) => {
                    let share = Share {
                        place: self.clone(),
                        maps,
                        slot,
                        link: None,
                        gone: false,
                    };
                    share.put(program.fd())?;
                    return Ok(share);
                }
                Err(error) if error.errno() == Some(Errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.fault(format!(
            "all {ROOM} slots for XDP programs are taken; some by processes that were killed: end \
             the others, too, and begin anew"
        )))
    }

    /// Loads a dispatcher.
    fn dispatcher(&self, state: &State, maps: &Maps) -> Result<ProgramFd> {
        let host = &*self.host;
        let dispatcher = code::load(host, state, &maps.slots)?;
        let bytes = state.bytes();
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let carried = host.map_create(&MapCreate::new(MapType::Array, STATE, 4, size, 1))?;
        host.map_update_elem(&carried, &0_u32.to_ne_bytes(), &bytes, 0)?;
        host.map_freeze(&carried)?;
        for map in [&carried, &maps.slots, &maps.taken] {
            host.prog_bind_map(&dispatcher, map)?;
        }
        Ok(dispatcher)
    }

    /// The first dispatcher of a device, for the program of this name.
    fn begin(&self, name: &str, dispatcher: &ProgramFd, mode: XdpMode) -> Result<LinkFd> {
        let point = AttachPoint::Xdp {
            ifindex: self.ifindex,
            mode,
        };
        let attachment = self
            .host
            .attach(name, dispatcher, ProgramType::Xdp, &point)?;
        match attachment.link_fd() {
            Some(link) => link.try_clone(),
            None => Err(self.fault("this host has no links for XDP".into())),
        }
    }

    /// Another dispatcher in the place of one, if that is still there.
    fn swap(&self, there: &There, dispatcher: &ProgramFd) -> Result<bool> {
        /// `ENOLINK`: the link's device is gone.
        const NO_LINK: Errno = Errno(67);
        let expected = Some((&there.dispatcher).into());
        match self
            .host
            .link_update(&there.link, dispatcher.into(), expected)
        {
            Ok(()) => Ok(true),
            Err(error) => match error.errno() {
                Some(Errno::EPERM | Errno::EINVAL | NO_LINK) => Ok(false),
                _ => Err(error),
            },
        }
    }

    fn fault(&self, reason: String) -> skep_host::Error {
        skep_host::Error::Request {
            object: format!("xdp on device {}", self.ifindex),
            reason,
        }
    }
}

/// One program's part of what a device has.
struct Share {
    place: Place,
    maps: Maps,
    /// Where the program is.
    slot: u32,
    /// What keeps the dispatcher there; nothing as long as none calls the program.
    link: Option<LinkFd>,
    gone: bool,
}

impl Share {
    /// Puts a program in its slot: from one packet to the next.
    fn put(&self, program: &ProgramFd) -> Result<()> {
        let (key, value) = (self.slot.to_ne_bytes(), program.raw().to_ne_bytes());
        let host = &self.place.host;
        host.map_update_elem(&self.maps.slots, &key, &value, 0)
    }

    /// Nobody calls the program any more.
    fn unhook(&self) -> Result<()> {
        for _ in 0..TRIES {
            // Detached by force, or with its device, if there is none or another.
            let there = self.place.read()?;
            let Some(mut there) = there.filter(|there| there.maps.id == self.maps.id) else {
                return Ok(());
            };
            if !there.state.remove(self.slot) {
                return Ok(());
            }
            let dispatcher = self.place.dispatcher(&there.state, &there.maps)?;
            if self.place.swap(&there, &dispatcher)? {
                return Ok(());
            }
        }
        Err(self.place.fault(busy(self.place.ifindex)))
    }

    fn leave(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.gone, true) {
            return Ok(());
        }
        if self.link.is_some() {
            self.unhook()?;
        }
        let (host, key) = (&self.place.host, self.slot.to_ne_bytes());
        host.map_delete_elem(&self.maps.slots, &key)?;
        host.map_delete_elem(&self.maps.taken, &key)?;
        Ok(())
    }
}

impl Detach for Share {
    fn detach(&mut self) -> Result<()> {
        self.leave()
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        self.put(program)
    }

    fn cannot_pin(&self) -> Option<&'static str> {
        Some(
            "programs that share a device are held by their processes, and go with them: attach it \
             alone to pin it",
        )
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Nobody is left to tell; `detach` is there for those who ask.
        let _ = self.leave();
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("ifindex", &self.place.ifindex)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
