//! Helpers that call functions of the program: at once (`bpf_loop`, `bpf_for_each_map_elem`,
//! `bpf_find_vma`, `bpf_user_ringbuf_drain`), or later (timers).

use skep_abi::MapType;
use skep_isa::Reg;

use super::{Call, MapArgument, id};
use crate::{
    Rule,
    call::Callback,
    state::{BtfRef, BtfSource, DynptrKind, Kind, Register},
    verifier::{Result, Verifier},
};

impl<'a> Verifier<'a> {
    /// Has the callback of a call followed, if it has one.
    pub(super) fn call_back(&mut self, call: &Call<'a>) -> Result {
        let Some(function) = call.callback else {
            return Ok(());
        };
        match call.helper.id {
            id::LOOP => self.call_loop(function),
            id::FOR_EACH_MAP_ELEM => {
                let Some(argument) = call.map else {
                    return Ok(());
                };
                self.check_walkable(call, argument)?;
                let [map, key, value] = element(argument);
                self.push_callback(Callback::now(function), |caller, callee| {
                    callee[1] = map;
                    callee[2] = key;
                    callee[3] = value;
                    callee[4].clone_from(&caller[3]);
                })
            }
            id::TIMER_SET_CALLBACK => {
                let Some(argument) = call.map else {
                    return Ok(());
                };
                let [map, key, value] = element(argument);
                self.push_callback(Callback::later(function), |_, callee| {
                    callee[1] = map;
                    callee[2] = key;
                    callee[3] = value;
                })
            }
            id::FIND_VMA => {
                let Some(area) = self.kernel_struct("vm_area_struct") else {
                    return Err(self.reject(
                        Rule::TypeInformation,
                        "bpf_find_vma gives a `struct vm_area_struct`, which the kernel's types don't have",
                    ));
                };
                let area = Register::pointer(Kind::Btf(BtfRef {
                    btf: BtfSource::Kernel,
                    type_id: area,
                }));
                self.push_callback(Callback::now(function), |caller, callee| {
                    callee[1].clone_from(&caller[1]);
                    callee[2] = area;
                    callee[3].clone_from(&caller[4]);
                })
            }
            id::USER_RINGBUF_DRAIN => {
                let mut record = Register::pointer(Kind::Dynptr {
                    kind: DynptrKind::Local,
                });
                record.id = self.new_id();
                self.push_callback(Callback::now(function), |caller, callee| {
                    callee[1] = record;
                    callee[2].clone_from(&caller[3]);
                })
            }
            _ => Err(self.reject(
                Rule::CallbackMisuse,
                format!("how {} calls back is not known", call.helper),
            )),
        }
    }

    /// `bpf_loop`: its function gets the number of the round and the caller's R3. It is followed
    /// as often as there may be rounds, at most.
    fn call_loop(&mut self, function: u32) -> Result {
        self.mark_precise(Reg::R1)?;
        if self.reg(Reg::R4).is_null() {
            self.mark_precise(Reg::R4)?;
        }
        let most = self.reg(Reg::R1).value.umax;
        if u64::from(self.state.frame().callback_depth) >= most {
            self.state.frame_mut().callback_depth = 0;
            return Ok(());
        }
        self.push_callback(Callback::now(function), |caller, callee| {
            callee[1] = Register::unknown();
            callee[2].clone_from(&caller[3]);
        })
    }

    /// Whether the kernel can go through the elements of a map.
    fn check_walkable(&self, call: &Call<'_>, argument: MapArgument<'_>) -> Result {
        use MapType as M;
        let kind = argument.map.map_type;
        if matches!(
            kind,
            M::Hash | M::LruHash | M::PercpuHash | M::LruPercpuHash | M::Array | M::PercpuArray
        ) {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::MapHelperMismatch,
                format!(
                    "{} does not go through `{}`, which is a map of type {kind}",
                    call.helper, argument.map.name
                ),
            )
            .of(Reg::R1))
    }
}

/// What a callback gets of an element: the map, the key, the value.
fn element(argument: MapArgument<'_>) -> [Register; 3] {
    let MapArgument { id, inner, uid, .. } = argument;
    [
        Register::pointer(Kind::ConstMap {
            map: id,
            inner,
            uid,
        }),
        Register::pointer(Kind::MapKey { map: id }),
        Register::pointer(Kind::MapValue {
            map: id,
            inner,
            uid,
        }),
    ]
}
