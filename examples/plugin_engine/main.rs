//! A shop whose rules are plug-ins: eBPF programs in its own process, without privileges and
//! without a kernel that knows of them.
//!
//! ```console
//! $ cargo run -p skep --features vm --example plugin_engine
//! ```

use std::{
    error::Error,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use skep::{Host, Object, vm};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What rules see of an order, and may change: `struct order` of rules.bpf.c.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Order {
    customer: u32,
    items: u32,
    cents: u64,
    discount: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    shop(io::stdout())
}

/// Opens the shop, and writes what happens there.
pub(crate) fn shop(out: impl Write + Send) -> Result<(), Box<dyn Error>> {
    let out = Mutex::new(out);
    let tell = |line: String| {
        let mut out = out.lock().expect("nobody panics");
        writeln!(out, "{line}").expect("somebody listens");
    };
    // No verifier judges the rules; they are checked while they run. A rule may take a million instructions and ten milliseconds, all maps together 16 MiB.
    let mut config = vm::Config::checked();
    config.limits.instructions = 1_000_000;
    config.limits.time = Some(Duration::from_millis(10));
    config.limits.memory = 16 << 20;
    let machine = vm::Vm::with(config)?;

    // What the shop offers to its rules: a helper, and a hook that fires for each order.
    machine.define_helper(vm::Prototype::new(1000, "loyal_years").number(), |call| {
        Ok(call.number(0) % 20)
    })?;
    let orders = machine.define_hook::<Order>("shop", "order")?;

    // Rules are ordinary objects, loaded as into the kernel.
    let host = Host::new(Arc::new(machine.clone()));
    let rules = compiled("rules.bpf.c")?.load(&host)?;
    let _links = rules.attach_all()?;

    // Orders come in on several threads; rules run where the order is.
    std::thread::scope(|scope| {
        for customer in [7, 19] {
            let (orders, tell) = (&orders, &tell);
            scope.spawn(move || {
                for items in 1..=3 {
                    let mut order = Order {
                        customer,
                        items,
                        cents: u64::from(items) * 2000,
                        discount: 0,
                    };
                    let rules = orders.fire(&mut order).values().count();
                    let Order {
                        cents, discount, ..
                    } = order;
                    tell(format!(
                        "customer {customer}: {cents} cents, {discount} off by {rules} rules"
                    ));
                }
            });
        }
    });
    let map = rules.map("orders_of")?;
    for entry in map.typed::<u32, u64>()?.iter() {
        let (customer, count) = entry?;
        tell(format!("customer {customer} has ordered {count} times"));
    }

    // Rules of somebody who means no good end with a fault; the shop goes on.
    let hostile = compiled("hostile.bpf.c")?.load(&host)?;
    let _more = hostile.attach_all()?;
    let mut order = Order {
        customer: 7,
        items: 1,
        cents: 1000,
        discount: 0,
    };
    for fault in orders.fire(&mut order).faults() {
        tell(format!("stopped: {fault}"));
    }
    tell(format!(
        "customer 7: {} cents, {} off",
        order.cents, order.discount
    ));
    Ok(())
}

/// The object that clang makes of a file beside this one.
fn compiled(name: &str) -> Result<Object, Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/plugin_engine")
        .join(name);
    let built = skep_build::Build::new(source).cached()?;
    Ok(Object::open(built.object)?)
}
