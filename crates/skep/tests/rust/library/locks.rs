//! A lock that programs on several CPUs hold in turn, and user space as well.
use skep_ebpf::prelude::*;
use skep_ebpf::sync::SpinLock;

license!("GPL");

#[repr(C)]
#[derive(Plain)]
struct Account {
    lock: SpinLock,
    payments: u32,
    sum: u64,
}

#[map]
static ACCOUNTS: Array<Account, 1> = Array::new();

#[xdp]
fn pay(_: &XdpContext) -> Result<XdpAction> {
    let account = ACCOUNTS.get(0).ok_or(Error::ENOENT)?;
    let held = field!(account.lock).lock();
    // Two accesses each, which only the lock keeps together.
    field!(account.payments).update(|payments| payments + 1);
    field!(account.sum).update(|sum| sum + 3);
    drop(held);
    Ok(XdpAction::PASS)
}
