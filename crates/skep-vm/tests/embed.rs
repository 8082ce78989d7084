//! The machine inside another program: hooks and helpers of its own, shared maps, limits.

use std::{sync::Arc, thread, time::Duration};

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::{AttachPoint, Attachment, Errno, Host, MapCreate, MapFd, ProgramFd, ProgramLoad};
use skep_isa::{Endian, assemble, encode_slots};
use skep_vm::{Config, Engine, FaultKind, HelperError, Prototype, Vm};

type Tested = Result<(), Box<dyn std::error::Error>>;

fn load(vm: &Vm, name: &str, text: &str) -> Result<ProgramFd, Box<dyn std::error::Error>> {
    let bytes = encode_slots(&assemble(text)?, Endian::NATIVE);
    let request = ProgramLoad::new(ProgramType::Tracepoint, name, &bytes);
    Ok(vm.prog_load(&request)?.fd)
}

fn attach(vm: &Vm, name: &str, text: &str) -> Result<Attachment, Box<dyn std::error::Error>> {
    let point = AttachPoint::Tracepoint {
        category: "test".into(),
        name: "hook".into(),
        cookie: None,
    };
    let program = load(vm, name, text)?;
    Ok(vm.attach(name, &program, ProgramType::Tracepoint, &point)?)
}

fn each_engine(test: impl Fn(Config) -> Tested) -> Tested {
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::checked();
        config.engine = engine;
        config.limits.instructions = 100_000;
        test(config)?;
    }
    Ok(())
}

#[test]
fn programs_of_a_hook_run_in_order_on_one_context() -> Tested {
    each_engine(|config| {
        let vm = Vm::with(config)?;
        let hook = vm.define_hook::<[u64; 2]>("test", "hook")?;
        assert!(hook.is_empty());
        let double = "r0 = *(u64 *)(r1 + 0)\n r0 <<= 1\n *(u64 *)(r1 + 0) = r0\n exit";
        let first = attach(&vm, "double", double)?;
        let _second = attach(
            &vm,
            "copy",
            "r0 = *(u64 *)(r1 + 0)\n *(u64 *)(r1 + 8) = r0\n exit",
        )?;
        let mut context = [21, 0];
        let fired = hook.fire(&mut context);
        assert_eq!(fired.values().collect::<Vec<_>>(), [42, 42]);
        assert_eq!(context, [42, 42]);
        drop(first);
        assert_eq!(hook.fire(&mut context).outcomes().len(), 1);
        Ok(())
    })
}

#[test]
fn a_stopped_program_does_not_stop_the_others() -> Tested {
    each_engine(|config| {
        let vm = Vm::with(config)?;
        let hook = vm.define_hook::<u32>("test", "hook")?;
        let _bad = attach(&vm, "over", "r0 = *(u64 *)(r1 + 0)\n exit")?;
        let _endless = attach(&vm, "endless", "again: goto again\n exit")?;
        let _good = attach(&vm, "good", "r0 = *(u32 *)(r1 + 0)\n exit")?;
        let fired = hook.fire(&mut 5);
        assert_eq!(fired.values().collect::<Vec<_>>(), [5]);
        let faults: Vec<_> = fired.faults().map(|fault| &fault.kind).collect();
        assert!(
            matches!(
                faults[..],
                [
                    FaultKind::Memory { size: 8, .. },
                    FaultKind::Budget { limit: 100_000 }
                ]
            ),
            "{faults:?}"
        );
        Ok(())
    })
}

#[test]
fn time_is_a_limit_too() -> Tested {
    each_engine(|mut config| {
        config.limits.instructions = u64::MAX;
        config.limits.time = Some(Duration::from_millis(20));
        let vm = Vm::with(config)?;
        let endless = vm.bare(
            "endless",
            &assemble("again: goto again\n exit")?,
            Engine::Interpreter,
        )?;
        let fault = endless.run(&mut []).expect_err("an endless loop");
        assert_eq!(fault.kind, FaultKind::Time);
        Ok(())
    })
}

#[test]
fn helpers_get_what_their_prototype_says() -> Tested {
    each_engine(|config| {
        let vm = Vm::with(config)?;
        let reversed = Prototype::new(1000, "reversed").bytes().bytes_mut();
        vm.define_helper(reversed, |call| {
            let mut bytes = call.bytes(0);
            bytes.reverse();
            Ok(call.write(1, &bytes) as u64)
        })?;
        vm.define_helper(Prototype::new(1001, "refuses"), |_| Err("not today".into()))?;
        let hook = vm.define_hook::<[u8; 8]>("test", "hook")?;
        let text = "
            r3 = r1
            r3 += 4
            r2 = 4
            r4 = 4
            call 1000
            exit";
        let attached = attach(&vm, "reverses", text)?;
        let mut context = *b"abcd----";
        assert_eq!(hook.fire(&mut context).values().collect::<Vec<_>>(), [4]);
        assert_eq!(&context, b"abcddcba");
        drop(attached);

        let _short = attach(&vm, "short", "r2 = 9\n r3 = r1\n r4 = 1\n call 1000\n exit")?;
        let _refused = attach(&vm, "refused", "call 1001\n exit")?;
        let fired = hook.fire(&mut context);
        let faults: Vec<_> = fired.faults().map(|fault| fault.kind.clone()).collect();
        assert!(
            matches!(faults[0], FaultKind::Memory { size: 9, .. }),
            "{faults:?}"
        );
        let said = FaultKind::Helper {
            function: "refuses".into(),
            reason: "not today".into(),
        };
        assert_eq!(faults[1], said);
        Ok(())
    })
}

#[test]
fn numbers_of_helpers_are_given_once() -> Tested {
    let vm = Vm::new()?;
    let nothing = |_: &skep_vm::Call<'_>| Ok(0);
    let kernels = vm.define_helper(Prototype::new(14, "mine"), nothing);
    assert_eq!(kernels, Err(HelperError::Reserved(14)));
    vm.define_helper(Prototype::new(2000, "mine"), nothing)?;
    let again = vm.define_helper(Prototype::new(2000, "other"), nothing);
    assert!(matches!(
        again,
        Err(HelperError::Taken { number: 2000, .. })
    ));
    let six = Prototype::new(2001, "six").bytes().bytes().bytes();
    let many = vm.define_helper(six, nothing);
    assert!(matches!(
        many,
        Err(HelperError::TooManyRegisters { registers: 6, .. })
    ));
    assert!(load(&vm, "absent", "call 2002\n exit").is_err());
    Ok(())
}

#[test]
fn maps_are_limited_together() -> Tested {
    let mut config = Config::checked();
    config.limits.memory = 64 << 10;
    let vm = Vm::with(config)?;
    let map = |entries| -> skep_host::Result<MapFd> {
        vm.map_create(&MapCreate::new(MapType::Array, "some", 4, 8, entries))
    };
    let first = map(4096)?;
    let refused = map(8192).expect_err("more than there is");
    assert_eq!(refused.errno(), Some(Errno::ENOMEM));
    drop(first);
    map(4096)?;
    Ok(())
}

/// A value for each CPU counts as often; an arena counts as what is known of its pages.
#[test]
fn large_maps_count_as_what_they_come_to() -> Tested {
    let mut config = Config::checked();
    (config.limits.memory, config.cpus) = (8 << 20, 64);
    let vm = Vm::with(config)?;
    for (of, entries, fits) in [
        (MapType::PercpuHash, 100_000, false),
        (MapType::PercpuHash, 1000, true),
        (MapType::PercpuArray, 100_000, false),
        (MapType::LruPercpuHash, 100_000, false),
        (MapType::Hash, 100_000, true),
        (MapType::Ringbuf, 16 << 20, false),
    ] {
        let mut request = match of {
            MapType::Ringbuf => MapCreate::new(of, "some", 0, 0, entries),
            _ => MapCreate::new(of, "some", 4, 64, entries),
        };
        if matches!(of, MapType::Hash | MapType::PercpuHash) {
            request.flags = MapCreateFlags::NO_PREALLOC;
        }
        let made = vm.map_create(&request);
        assert_eq!(made.is_ok(), fits, "{of} {entries}: {made:?}");
    }
    let mut request = MapCreate::new(MapType::Arena, "pages", 0, 0, 1 << 18);
    request.flags = MapCreateFlags::MMAPABLE;
    let arenas: Vec<_> = (0..64)
        .map_while(|_| vm.map_create(&request).ok())
        .collect();
    assert!((1..64).contains(&arenas.len()), "{}", arenas.len());
    Ok(())
}

#[test]
fn threads_fire_one_hook_and_share_its_maps() -> Tested {
    each_engine(|config| {
        const ROUNDS: u64 = 500;
        let vm = Vm::with(config)?;
        let counts = vm.map_create(&MapCreate::new(MapType::Array, "counts", 4, 8, 1))?;
        let hook = vm.define_hook::<u64>("test", "hook")?;
        let text = format!(
            "r6 = r1
             *(u32 *)(r10 - 4) = 0
             r2 = r10
             r2 += -4
             r1 = map[fd:{}]
             call 1
             if r0 == 0 goto out
             r1 = *(u64 *)(r6 + 0)
             lock *(u64 *)(r0 + 0) += r1
             out:
             r0 = 0
             exit",
            counts.raw()
        );
        let _attached = attach(&vm, "adds", &text)?;
        let hook = Arc::new(hook);
        thread::scope(|scope| {
            for amount in 1..=4_u64 {
                let hook = Arc::clone(&hook);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        assert_eq!(hook.fire(&mut { amount }).faults().count(), 0);
                    }
                });
            }
        });
        let mut sum = [0; 8];
        assert!(vm.map_lookup_elem(&counts, &[0; 4], &mut sum, 0)?);
        assert_eq!(u64::from_ne_bytes(sum), 10 * ROUNDS);
        Ok(())
    })
}

#[test]
fn a_verdict_comes_before_a_run() -> Tested {
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::default();
        config.engine = engine;
        let vm = Vm::with(config)?;
        let doubled = Prototype::new(1000, "doubled").bytes().value_mut::<u32>();
        vm.define_helper(doubled, |call| {
            let sum: u32 = call.bytes(0).into_iter().map(u32::from).sum();
            call.write(1, &(2 * sum).to_ne_bytes());
            Ok(0)
        })?;
        let hook = vm.define_hook::<[u32; 2]>("test", "hook")?;
        let text = "
            r6 = r1
            r1 = *(u32 *)(r6 + 0)
            *(u32 *)(r10 - 8) = r1
            r1 = r10
            r1 += -8
            r2 = 4
            r3 = r10
            r3 += -4
            call 1000
            r0 = *(u32 *)(r10 - 4)
            *(u32 *)(r6 + 4) = r0
            exit";
        let _good = attach(&vm, "doubles", text)?;
        let mut context = [0x0102_0304, 0];
        assert_eq!(hook.fire(&mut context).values().collect::<Vec<_>>(), [20]);
        assert_eq!(context[1], 20);

        // Where the hook's context ends is known when it fires, and not to the verifier.
        let _over = attach(&vm, "over", "r0 = *(u64 *)(r1 + 8)\n exit")?;
        assert_eq!(
            hook.fire(&mut context).values().collect::<Vec<_>>(),
            [20, 0]
        );

        for (text, rule) in [
            (
                "again: r0 = 0\n if r0 == 0 goto again\n exit",
                "unbounded-loop",
            ),
            ("r0 = *(u64 *)(r2 + 0)\n exit", "uninitialised-register"),
            (
                "r1 = 4\n r2 = 4\n r3 = r10\n r3 += -4\n call 1000\n exit",
                "argument-type",
            ),
            (&text.replace("r2 = 4", "r2 = 16"), "stack-out-of-bounds"),
        ] {
            let error = load(&vm, "refused", text).expect_err(rule);
            let error = error.downcast_ref::<skep_host::Error>();
            let Some(skep_host::Error::Verifier { log, .. }) = error else {
                panic!("{rule}: {error:?}");
            };
            assert!(log.contains(rule), "{rule}: {log}");
        }
    }
    Ok(())
}
